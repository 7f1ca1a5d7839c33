//! `volume.spike`: more requests in a window than the key's profile, and its group, would lead one to expect.

use super::{
    CALLABLE, Scale,
    crowd::{GroupUse, Rise},
    signal::{Signal, count_text},
    watch::Watch,
};
use crate::profile::{Expected, Hot, Known, Warm, tail};

/// Whether a window has come near a count that a rule would call; sets the sums at which to look again.
pub fn is_near(watch: &Watch, hot: &Hot, warm: Option<&mut Warm>) -> bool {
    let Some(warm) = warm else {
        return hot.sums.iter().any(|sum| *sum >= CALLABLE) && near(watch, hot, hot.sums, &mut [0; 3]);
    };
    let [minute, five, hour] = hot.sums;
    let sums = [minute, five, hour, warm.day_sum];
    sums.iter().zip(&warm.thresholds).any(|(sum, threshold)| sum >= threshold)
        && near(watch, hot, sums, &mut warm.thresholds)
}

/// Of the windows that have come to their thresholds. Whether a rise is sudden may change within a pane, so that it is not asked
/// here.
fn near<const N: usize>(watch: &Watch, hot: &Hot, sums: [u32; N], thresholds: &mut [u32; N]) -> bool {
    if !hot.season.is_known() {
        // Nothing is judged before some hours have closed.
        *thresholds = [u32::MAX; N];
        return false;
    }
    let mut near = false;
    for (((sum, threshold), scale), uses) in
        sums.into_iter().zip(thresholds).zip(Scale::ALL).zip(&watch.volume)
    {
        if sum < *threshold {
            continue;
        }
        let least = hot.season.beyond(scale as usize).max(CALLABLE);
        if sum < least {
            *threshold = least;
            continue;
        }
        let Some(table) = &uses.table else { continue };
        let e = hot.expect(scale.seconds());
        let found = table.threshold(e.mean, e.dispersion).max(least);
        near |= sum >= found;
        *threshold = next_look(sum, found);
        // What is far beyond what the key did is looked at as it comes to that.
        let far = hot.season.highest.far_beyond(scale as usize).max(found);
        if sum < far {
            *threshold = far.min(*threshold);
        }
    }
    near
}

/// The least count that may be a spike: what the key did before is none.
pub fn callable(hot: &Hot, scale: Scale) -> u32 {
    let (season, i) = (&hot.season, scale as usize);
    let least = if is_sudden(hot, scale) { season.beyond(i) } else { season.highest.far_beyond(i) };
    least.max(CALLABLE)
}

/// For how many seconds a lesser spike waits for its group, by the time of the contexts.
pub const LESSER_WAITS: u32 = 30;

/// A count that would be a spike but for being little beyond what the key did: so a crowd begins, too.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LesserCount {
    /// The highest since it is one; 0 if none waits. A burst may be over before its group is known.
    pub count: u32,
    /// The second of the newest request that it counts.
    pub second: u32,
    /// The second of the context at which it was first one.
    pub since: u32,
}

/// Those of each scale. One is told if it is not excused when its group could be seen to rise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lesser(pub [LesserCount; 4]);

impl Lesser {
    pub fn is_any(&self) -> bool {
        self.0 != [LesserCount::default(); 4]
    }
}

/// Once a window is near, it is looked at again when it has grown by an eighth, or a pane has advanced.
fn next_look(sum: u32, threshold: u32) -> u32 {
    if sum >= threshold { sum + (sum / 8).max(1) } else { threshold }
}

/// The exact judgement of every window against every rule's bar, at a second of the contexts.
///
/// `known` is how far the logs are known. What waits in `lesser` is judged again when it has waited; until then only its
/// highest count is kept. What is lesser, and has not waited, comes to stand there.
pub fn judge(
    watch: &Watch,
    (hot, warm): (&Hot, Option<&Warm>),
    groups: &[GroupUse],
    (at, known): (u32, Known<'_>),
    lesser: &mut Lesser,
    signals: &mut Vec<Signal>,
) {
    let before = std::mem::take(lesser);
    if !hot.season.is_known() {
        return;
    }
    for (scale, uses) in watch.scales() {
        let now = match (scale, warm) {
            (Scale::Day, Some(warm)) => warm.day_sum,
            (Scale::Day, None) => continue,
            _ => hot.sums[scale as usize],
        };
        let mut waits = before.0[scale as usize];
        let is_waiting = waits.count > 0;
        // A key whose history lies far behind the contexts' time goes by its own.
        let is_over = is_waiting && hot.last_seen > waits.second + 2 * LESSER_WAITS;
        // What waits was sudden when it came, and may be so no longer.
        let least = if is_waiting { hot.season.beyond(scale as usize) } else { callable(hot, scale) };
        if now > waits.count && !is_over {
            (waits.count, waits.second) = (now, hot.last_seen);
        }
        let n = waits.count;
        if n < least.max(CALLABLE) || uses.bars.is_empty() {
            continue;
        }
        let is_lesser = n < hot.season.highest.far_beyond(scale as usize);
        if is_lesser && is_waiting && !is_over && at < waits.since + LESSER_WAITS {
            lesser.0[scale as usize] = waits;
            continue;
        }
        let expected = expected((hot, warm), scale, groups, known);
        let score = score((hot, warm), scale, n, expected);
        for (rule, bar) in &uses.bars {
            if score < *bar {
                continue;
            }
            if is_lesser && !is_waiting {
                lesser.0[scale as usize] = LesserCount { since: at, ..waits };
            } else {
                let until = is_waiting.then_some(waits.second);
                signals.push(signal(*rule, score, (n, expected.mean), scale, until));
            }
        }
    }
}

/// How surprising a count is, by the model and by what the key's windows did before.
pub(super) fn score(
    (hot, warm): (&Hot, Option<&Warm>),
    scale: Scale,
    n: u32,
    Expected { mean, dispersion }: Expected,
) -> f64 {
    let by_model = tail::surprise(n, mean, dispersion);
    warm.map_or(by_model, |warm| {
        let own = warm.own_tail.surprise(scale as usize, by_model);
        warm.calibrated(own, hot.last_seen / 3600, hot.age_days(), scale.seconds())
    })
}

/// A spike of `n` requests where `mean` are usual. One that is told later says `until` which second it was.
pub(super) fn signal(
    rule: u16,
    score: f64,
    (n, mean): (u32, f64),
    scale: Scale,
    until: Option<u32>,
) -> Signal {
    let until = until.map(|second| second % 86_400).map_or(String::new(), |second| {
        format!(" until {:02}:{:02}:{:02} UTC", second / 3600, second / 60 % 60, second % 60)
    });
    Signal {
        rule,
        score,
        observed: format!("{n} requests in {}{until}", scale.as_str()),
        expected: format!("usual {}", count_text(mean)),
    }
}

/// Whether half of five minutes came within about one of them. A lesser rise that goes on is told when it is no lesser one any
/// more, or by the hour: so a crowd grows over a tenant that is hardly used but by one key, and nothing of it is seen in the rest.
fn is_sudden(hot: &Hot, scale: Scale) -> bool {
    !matches!(scale, Scale::FiveMinutes) || hot.most_in_a_minute() >= hot.sums[1] / 2
}

/// `groups` are those that the key belongs to.
fn expected(
    (hot, warm): (&Hot, Option<&Warm>),
    scale: Scale,
    groups: &[GroupUse],
    known: Known<'_>,
) -> Expected {
    let rise = Rise::greatest(groups.iter().map(|group| group.rise_without(hot, scale)));
    // A rise of the key alone excuses nothing; one that its group has part in does.
    let level = if rise.is_up { hot.level_now(warm, known) } else { hot.level() };
    rise.expected(hot, scale, level)
}

/// What a key may still do while it is throttled: the 95th percentile of its usual minute, in requests a second.
pub fn usual_rate(hot: &Hot) -> f64 {
    let e = hot.expect(60);
    let p95 = tail::smallest_surprising(e.mean, e.dispersion, 1.301_03);
    (f64::from(p95) / 60.0 * 100.0).ceil() / 100.0
}
