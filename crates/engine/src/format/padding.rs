//! Size classes: an object's size tells little of what is in it.

/// The next size of Padmé (Nikitin et al., PETS 2019): at most 12 % more, and less the larger it is.
pub(crate) fn padme(len: usize) -> usize {
    let len = len.max(MIN);
    let exponent = usize::BITS - 1 - len.leading_zeros();
    let significant = u32::BITS - exponent.leading_zeros();
    let mask = (1usize << (exponent - significant)) - 1;
    (len + mask) & !mask
}

/// Nothing is smaller than this.
const MIN: usize = 512;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn padding_is_small_and_stable(len in 0usize..1 << 40) {
            let padded = padme(len);
            prop_assert!(padded >= len && padded >= MIN);
            prop_assert!(padded <= len.max(MIN) + len.max(MIN) / 8);
            prop_assert_eq!(padme(padded), padded);
        }
    }
}
