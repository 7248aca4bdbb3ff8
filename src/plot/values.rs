//! The axis of values: from 0 or logarithmic, with round ticks. Not here: drawing.

/// The most steps of a linear axis.
const MOST_STEPS: f64 = 6.0;
/// The place of zero on a logarithmic axis, in decades below its lowest tick.
const ZERO_BELOW: f64 = 0.5;
/// Up to this many decades a logarithmic axis has ticks between the powers of ten.
const FEW_DECADES: i32 = 2;

/// An axis of values.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct ValueAxis {
    scale: Scale,
    /// The values that have a label, from the lowest on.
    pub(super) ticks: Vec<(f64, String)>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Scale {
    /// From zero to `head`.
    Linear { head: f64 },
    /// From `foot` to `head`, both powers of ten. Zero is at the foot.
    Logarithmic { foot: f64, head: f64 },
}

impl ValueAxis {
    /// Makes an axis that has a place for each value. A logarithmic one needs a value above zero; without it the axis is
    /// linear.
    pub(super) fn new(values: impl Iterator<Item = f64>, is_logarithmic: bool) -> Self {
        let (mut least, mut most, mut has_zero, mut is_whole) = (f64::INFINITY, 0.0_f64, false, true);
        for value in values {
            most = most.max(value);
            has_zero |= value == 0.0;
            is_whole &= value.fract() == 0.0;
            if value > 0.0 {
                least = least.min(value);
            }
        }
        match is_logarithmic && most > 0.0 {
            true => ValueAxis::logarithmic(least, most, has_zero),
            false => ValueAxis::linear(most, is_whole),
        }
    }

    fn linear(most: f64, is_whole: bool) -> Self {
        let rough = most / MOST_STEPS;
        let magnitude = 10_f64.powf(rough.log10().floor());
        let step = [1.0, 2.0, 5.0].map(|step| step * magnitude).into_iter().find(|&step| step >= rough);
        let step = step.unwrap_or(10.0 * magnitude);
        let step = match most > 0.0 {
            true if is_whole => step.max(1.0),
            true => step,
            false => 1.0,
        };
        let steps = (most / step).ceil().max(1.0);
        let decimals = (-step.log10().floor()).max(0.0) as usize;
        let ticks = (0..=steps as u32).map(|tick| f64::from(tick) * step);
        let ticks = ticks.map(|value| (value, number(value, decimals))).collect();
        ValueAxis { scale: Scale::Linear { head: steps * step }, ticks }
    }

    fn logarithmic(least: f64, most: f64, has_zero: bool) -> Self {
        let foot = least.log10().floor() as i32;
        let head = (most.log10().ceil() as i32).max(foot + 1);
        let between: &[f64] = if head - foot <= FEW_DECADES { &[1.0, 2.0, 5.0] } else { &[1.0] };
        let zero = has_zero.then(|| (0.0, "0".to_owned()));
        let decades = (foot..=head).flat_map(|decade| between.iter().map(move |times| (decade, times)));
        let ticks = decades.filter(|&(decade, &times)| decade < head || times == 1.0).map(|(decade, times)| {
            (times * 10_f64.powi(decade), number(times * 10_f64.powi(decade), (-decade).max(0) as usize))
        });
        let foot = f64::from(foot) - if has_zero { ZERO_BELOW } else { 0.0 };
        let ticks = zero.into_iter().chain(ticks).collect();
        ValueAxis { scale: Scale::Logarithmic { foot, head: f64::from(head) }, ticks }
    }

    /// Returns the place of a value: 0 at the foot of the axis, 1 at its head.
    pub(super) fn place(&self, value: f64) -> f64 {
        match self.scale {
            Scale::Linear { head } => value / head,
            Scale::Logarithmic { .. } if value <= 0.0 => 0.0,
            Scale::Logarithmic { foot, head } => (value.log10() - foot) / (head - foot),
        }
    }
}

/// Writes a number with `decimals` decimals, and commas between the thousands.
pub(super) fn number(value: f64, decimals: usize) -> String {
    let plain = format!("{value:.decimals$}");
    let (whole, fraction) = plain.split_once('.').map_or((plain.as_str(), None), |(whole, rest)| (whole, Some(rest)));
    let mut text = String::new();
    for (place, digit) in whole.chars().enumerate() {
        if place > 0 && (whole.len() - place) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    if let Some(fraction) = fraction {
        text.push('.');
        text.push_str(fraction);
    }
    text
}
