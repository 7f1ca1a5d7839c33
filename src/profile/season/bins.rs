//! What the bins of a season hold: the mean of √count.

/// The bins hold means of √count: for a Poisson count the mean is a quarter above their square (Anscombe 1948).
pub(super) fn mean_of(bin: u16) -> f32 {
    let root = unpacked(bin);
    root * root + 0.25 * root.min(1.0)
}

/// A root as hundredths in 12 bits, shifted by what the upper four bits say: exact to a hundredth up to 41, to one in
/// 2,048 beyond, and further than any count of an hour goes. The whole fleet has a profile too, so that an hour of a key
/// and an hour of ten thousand requests a second have to fit.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // within u32 by the clamp, and 12 bits by the shift
pub(super) fn packed(root: f32) -> u16 {
    let hundredths = (root * 100.0).round().clamp(0.0, 100_000_000.0) as u32;
    let shift = (20 - hundredths.leading_zeros().min(20)).min(14);
    let rounded = (hundredths + (1 << shift >> 1)) >> shift;
    ((shift << 12) | rounded.min(0xFFF)) as u16
}

#[allow(clippy::cast_precision_loss)] // 12 bits, shifted
pub(super) fn unpacked(bin: u16) -> f32 {
    ((u32::from(bin) & 0xFFF) << (bin >> 12)) as f32 / 100.0
}
