//! Sums in registers of 256 bits, where the processor has them.
//!
//! A register holds eight words of 32 bits. Each word is two fields of the sum, which are collected apart: the upper ones, and both
//! together modulo 2^32, from which the lower ones follow.

use std::arch::x86_64::{
    __m256i, _mm_add_epi32, _mm_extract_epi32, _mm256_add_epi32, _mm256_castsi256_si128, _mm256_extracti128_si256,
    _mm256_loadu_si256, _mm256_setzero_si256, _mm256_slli_epi32, _mm256_srli_epi32, _mm256_sub_epi32,
};

/// The sum of the fields of all blocks, if the processor can.
#[inline]
pub(super) fn sum(blocks: &[[u8; 64]]) -> Option<u64> {
    // SAFETY: `sum_all` needs AVX2, and the processor has it.
    is_x86_feature_detected!("avx2").then(|| unsafe { sum_all(blocks) })
}

/// How many blocks are summed before their sum is put away: so few that no word overflows.
const RUN: usize = 1024;

#[target_feature(enable = "avx2")]
fn sum_all(blocks: &[[u8; 64]]) -> u64 {
    let mut total = 0;
    for run in blocks.chunks(RUN) {
        total += sum_run(run);
    }
    total
}

#[inline]
#[target_feature(enable = "avx2")]
fn sum_run(blocks: &[[u8; 64]]) -> u64 {
    let mut sums = [[_mm256_setzero_si256(); 2]; 2];
    for block in blocks {
        let (halves, _) = block.as_chunks::<32>();
        for ([both, upper], half) in sums.iter_mut().zip(halves) {
            let words = load(half);
            *both = _mm256_add_epi32(*both, words);
            *upper = _mm256_add_epi32(*upper, _mm256_srli_epi32::<16>(words));
        }
    }
    let [[both, upper], [more_both, more_upper]] = sums;
    let (both, upper) = (_mm256_add_epi32(both, more_both), _mm256_add_epi32(upper, more_upper));
    let lower = _mm256_sub_epi32(both, _mm256_slli_epi32::<16>(upper));
    // 2^16 is 1 in this arithmetic: upper fields count as lower ones.
    add_up(_mm256_add_epi32(lower, upper))
}

#[inline]
#[target_feature(enable = "avx2")]
fn load(bytes: &[u8; 32]) -> __m256i {
    // SAFETY: 32 bytes can be read there, and they need not be aligned.
    unsafe { _mm256_loadu_si256(bytes.as_ptr().cast()) }
}

/// The sum of all words.
#[inline]
#[target_feature(enable = "avx2")]
fn add_up(words: __m256i) -> u64 {
    let four = _mm_add_epi32(_mm256_castsi256_si128(words), _mm256_extracti128_si256::<1>(words));
    let of = |word: i32| u64::from(word.cast_unsigned());
    of(_mm_extract_epi32::<0>(four))
        + of(_mm_extract_epi32::<1>(four))
        + of(_mm_extract_epi32::<2>(four))
        + of(_mm_extract_epi32::<3>(four))
}
