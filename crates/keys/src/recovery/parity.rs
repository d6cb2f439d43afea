//! Reed–Solomon over GF(2^16): two parity symbols behind fourteen, one wrong symbol is mended.
//!
//! The field is GF(2)[x] / (x^16 + x^12 + x^3 + x + 1), in which α = x generates everything but zero.
//! The sixteen groups c₀ … c₁₅, as written, are the polynomial c(X) = Σ cᵢ·X^(15−i), and the
//! generator is (X − 1)(X − α): a right key has c(1) = 0 and c(α) = 0.

use zeroize::Zeroizing;

pub(super) const DATA_GROUPS: usize = 14;
pub(super) const GROUPS: usize = 16;

const REDUCTION: u16 = 0x100b;

/// What the two parity groups say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reading {
    Exact,
    /// Group `group`, counted from 1, was replaced.
    Mended {
        group: u8,
    },
    TooManyWrong,
}

pub(super) fn append(data: &[u16; DATA_GROUPS]) -> Zeroizing<[u16; GROUPS]> {
    let mut groups = Zeroizing::new([0; GROUPS]);
    groups[..DATA_GROUPS].copy_from_slice(data);
    let (at_one, at_alpha) = syndromes(&groups);
    // p₁₄ + p₁₅ = c(1) and α·p₁₄ + p₁₅ = c(α), so (α + 1)·p₁₄ = c(1) + c(α).
    let first = divide(at_one ^ at_alpha, 0b11);
    groups[DATA_GROUPS] = first;
    groups[DATA_GROUPS + 1] = at_one ^ first;
    groups
}

/// Mends in place where one group can be all that is wrong.
pub(super) fn check(groups: &mut [u16; GROUPS]) -> Reading {
    // With one error e at X^p: c(1) = e and c(α) = e·α^p.
    let (error, at_alpha) = syndromes(groups);
    if error == 0 && at_alpha == 0 {
        return Reading::Exact;
    }
    let mut shifted = error;
    for (group, count) in groups.iter_mut().rev().zip((1..=16_u8).rev()) {
        if error != 0 && shifted == at_alpha {
            *group ^= error;
            return Reading::Mended { group: count };
        }
        shifted = times_alpha(shifted);
    }
    Reading::TooManyWrong
}

/// c(1) and c(α), by Horner.
fn syndromes(groups: &[u16; GROUPS]) -> (u16, u16) {
    groups.iter().fold((0, 0), |(at_one, at_alpha), group| {
        (at_one ^ group, times_alpha(at_alpha) ^ group)
    })
}

fn times_alpha(a: u16) -> u16 {
    (a << 1) ^ if a >> 15 == 1 { REDUCTION } else { 0 }
}

fn times(a: u16, b: u16) -> u16 {
    (0..16).rev().fold(0, |product, bit| {
        times_alpha(product) ^ if (b >> bit) & 1 == 1 { a } else { 0 }
    })
}

/// a / b = a·b^(2^16 − 2), for b ≠ 0.
fn divide(a: u16, b: u16) -> u16 {
    // 2^16 − 2 = 2 + 4 + … + 2^15.
    let mut square = b;
    (1..16).fold(a, |quotient, _| {
        square = times(square, square);
        times(quotient, square)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alpha_generates_every_symbol_but_zero() {
        let mut power = 1;
        for exponent in 1..u16::MAX {
            power = times_alpha(power);
            assert_ne!(power, 1, "α^{exponent}");
        }
        assert_eq!(times_alpha(power), 1);
    }

    #[test]
    fn dividing_undoes_multiplying() {
        for a in [0, 1, 2, 0x1234, 0xffff] {
            for b in [1, 3, 0x8000, 0xfedc] {
                assert_eq!(divide(times(a, b), b), a);
            }
        }
    }
}
