//! Runs a loop with the widest instructions that the processor has.

/// A set of instructions that work is compiled for.
pub(in crate::run) trait Instructions {
    /// Whether a fused multiply-add is one of them.
    const FMA: bool;
    /// Panels of a product that the registers hold at once.
    const PANELS: usize;
}

/// What every processor of the kind has. NEON, with its fused multiply-add, is part of the base of aarch64.
pub(in crate::run) struct Base;

impl Instructions for Base {
    const FMA: bool = cfg!(target_arch = "aarch64");
    const PANELS: usize = 1;
}

/// AVX2 and FMA: sixteen registers of eight elements.
#[cfg(target_arch = "x86_64")]
struct Avx2;

#[cfg(target_arch = "x86_64")]
impl Instructions for Avx2 {
    const FMA: bool = true;
    const PANELS: usize = 1;
}

/// AVX-512: thirty-two registers of sixteen elements.
#[cfg(target_arch = "x86_64")]
struct Avx512;

#[cfg(target_arch = "x86_64")]
impl Instructions for Avx512 {
    const FMA: bool = true;
    const PANELS: usize = 2;
}

/// Work whose inner loops the compiler may vectorise.
///
/// `run` must be `#[inline(always)]`: it is compiled once for each set of instructions, inside the function that enables them. What it gives
/// does not depend on the set, but for what a fused multiply-add does not round.
pub(in crate::run) trait Task {
    /// What the work gives.
    type Out;
    /// Does the work.
    fn run<I: Instructions>(self) -> Self::Out;
}

/// `a * b + c`, fused where that is fast.
#[inline(always)]
pub(in crate::run) fn mul_add<I: Instructions>(a: f32, b: f32, c: f32) -> f32 {
    if I::FMA { a.mul_add(b, c) } else { a * b + c }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn with_avx2<T: Task>(task: T) -> T::Out {
    task.run::<Avx2>()
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
fn with_avx512<T: Task>(task: T) -> T::Out {
    task.run::<Avx512>()
}

/// Does the work on the best path.
pub(in crate::run) fn run<T: Task>(task: T) -> T::Out {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::is_x86_feature_detected as has;
        let avx2 = has!("avx2") && has!("fma");
        if avx2 && has!("avx512f") && has!("avx512bw") && has!("avx512dq") && has!("avx512vl") {
            // SAFETY: the processor has all features that the function enables; it needs nothing else.
            #[allow(unsafe_code)]
            return unsafe { with_avx512(task) };
        }
        if avx2 {
            // SAFETY: the processor has both features; the function needs nothing else.
            #[allow(unsafe_code)]
            return unsafe { with_avx2(task) };
        }
    }
    task.run::<Base>()
}
