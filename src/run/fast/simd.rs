//! Runs a loop with the widest instructions that the processor has.

/// Work whose inner loops the compiler may vectorise.
///
/// `run` must be `#[inline(always)]`: it is compiled once for each set of instructions, inside the function that enables them.
pub(in crate::run) trait Task {
    /// What the work gives.
    type Out;
    /// Does the work. `FMA` says whether a fused multiply-add is one instruction.
    fn run<const FMA: bool>(self) -> Self::Out;
}

/// `a * b + c`, fused where that is fast.
#[inline(always)]
pub(in crate::run) fn mul_add<const FMA: bool>(a: f32, b: f32, c: f32) -> f32 {
    if FMA { a.mul_add(b, c) } else { a * b + c }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn with_avx2<T: Task>(task: T) -> T::Out {
    task.run::<true>()
}

/// Does the work on the best path.
#[cfg(target_arch = "x86_64")]
pub(in crate::run) fn run<T: Task>(task: T) -> T::Out {
    if std::arch::is_x86_feature_detected!("avx2") && std::arch::is_x86_feature_detected!("fma") {
        // SAFETY: the processor has both features; the function needs nothing else.
        #[allow(unsafe_code)]
        unsafe {
            with_avx2(task)
        }
    } else {
        task.run::<false>()
    }
}

/// Does the work on the best path.
#[cfg(not(target_arch = "x86_64"))]
pub(in crate::run) fn run<T: Task>(task: T) -> T::Out {
    // NEON, with its fused multiply-add, is part of the base of aarch64.
    task.run::<{ cfg!(target_arch = "aarch64") }>()
}
