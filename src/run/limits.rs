//! What a process may take, set from inside: batch commands run a case in a child that limits itself first.
//!
//! The budget and the guard around the runtime stop what they can see. A failed allocation inside the runtime aborts, and a loop that
//! never ends cannot be interrupted; the operating system ends both.

use std::io;

/// Limits of a process; `None` leaves the system's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Limits {
    /// Bytes of address space.
    pub memory: Option<u64>,
    /// Seconds of processor time, all threads together.
    pub cpu_seconds: Option<u64>,
}

impl Limits {
    /// Limits that fit a budget for values: the budget, and the same again for weights, packed weights and code.
    pub fn for_budget(max_mem: u64, cpu_seconds: Option<u64>) -> Self {
        Self { memory: Some(max_mem.saturating_mul(2).saturating_add(1 << 30)), cpu_seconds }
    }

    /// Applies the limits to this process, for good: its own limits cannot be raised again. Call it first thing in a child, before threads.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn apply(&self) -> io::Result<()> {
        #[cfg(unix)]
        {
            use rlimit::Resource;
            let set = |resource: Resource, value: u64| {
                let (_, hard) = resource.get()?;
                resource.set(value.min(hard), value.min(hard))
            };
            if let Some(bytes) = self.memory {
                set(Resource::AS, bytes)?;
            }
            if let Some(seconds) = self.cpu_seconds {
                set(Resource::CPU, seconds)?;
            }
        }
        Ok(())
    }
}

/// How a child that broke its limits ended, in words; `None` when it ended by itself.
pub fn broken_limit(status: std::process::ExitStatus) -> Option<&'static str> {
    #[cfg(unix)]
    {
        use std::os::unix::process::ExitStatusExt;
        // Numbers are the same on Linux and macOS for these.
        match status.signal() {
            Some(6) => return Some("it ran out of the memory it may take"),
            Some(24 | 9) => return Some("it ran out of the time it may take"),
            Some(7 | 10 | 11) => return Some("the runtime crashed"),
            _ => {}
        }
    }
    let _ = status;
    None
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn signals_are_told_apart_from_exits() {
        let run = |script: &str| Command::new("sh").args(["-c", script]).status().unwrap();
        assert_eq!(broken_limit(run("exit 2")), None);
        assert!(broken_limit(run("kill -ABRT $$")).unwrap().contains("memory"));
        assert!(broken_limit(run("kill -XCPU $$")).unwrap().contains("time"));
    }
}
