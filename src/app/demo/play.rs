//! The story from its beginning to its end: learn, live through, ask.

use std::{sync::Arc, time::Instant};

use super::{
    Settings,
    cast::{Cast, Part},
    clock::{Pace, StageClock},
    gate::{Answer, Gate},
    screen::Screen,
    stage::Stage,
    tally::Tally,
    telling,
    verdict::{Asked, Record, Verdict},
};
use crate::{
    decode::Pepper,
    engine::Effect,
    event::EventTime,
    generate::{Line, Traffic},
};

const MINUTE_MS: u64 = 60_000;
/// The bar is moved each so many lines.
const BAR_EVERY: u64 = 20_000;
/// Calls at the end with the leaked key, at most; it takes few to be beyond its rate.
const CALLS: usize = 20;

/// Everybody and everything.
pub(super) struct Play {
    traffic: Traffic,
    settings: Settings,
    pub cast: Cast,
    pub desk: Desk,
}

/// Keyhound and the gateway before it, and what is noted of both.
pub(super) struct Desk {
    pub stage: Stage,
    pub gate: Gate,
    pub clock: StageClock,
    pub record: Record,
    tally: Tally,
    stolen: Asked,
    neighbour: Asked,
    /// When a stranger first used the leaked key.
    stolen_at: Option<EventTime>,
    effects: Vec<Effect>,
}

impl Play {
    /// Makes traffic, engines and the check endpoint.
    pub fn prepare(settings: &Settings, pepper: Arc<Pepper>) -> anyhow::Result<Self> {
        let (cast, traffic) = Cast::with_traffic(settings, &pepper)?;
        let clock = StageClock::new();
        let desk = Desk {
            stage: Stage::new(cast.catalogue.clone(), &pepper)?,
            gate: Gate::open(pepper, &clock)?,
            clock,
            record: Record::default(),
            tally: Tally::new(cast.live_from, settings.days),
            stolen: Asked::default(),
            neighbour: Asked::default(),
            stolen_at: None,
            effects: Vec::new(),
        };
        Ok(Self { traffic, settings: settings.clone(), cast, desk })
    }

    /// The two weeks before, as fast as it goes.
    pub fn learn(&mut self, screen: &mut Screen) -> anyhow::Result<()> {
        telling::opening(&self.cast, &self.settings, screen)?;
        let (bar, begun, mut lines) = (screen.bar(), Instant::now(), 0_u64);
        let days = f64::from(self.settings.days);
        while let Some(line) = self.traffic.next_line() {
            let live = line.time >= self.cast.live_from;
            let day = self.settings.end.since(line.time).as_secs_f64() / 86_400.0;
            self.desk.hear(&self.cast, &line, screen)?;
            lines += 1;
            if live {
                break;
            }
            if lines.is_multiple_of(BAR_EVERY) {
                #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // from 0 to 1,000
                bar.set_position(((1.0 - day / days) * 1_000.0) as u64);
                bar.set_message(telling::rate(lines, begun.elapsed()));
            }
        }
        bar.finish_and_clear();
        telling::learnt(&self.desk.stage, lines, begun.elapsed(), screen)?;
        Ok(())
    }

    /// The last minutes, at a pace that can be read.
    pub fn live(&mut self, screen: &mut Screen) -> anyhow::Result<()> {
        let from = self.cast.live_from;
        telling::cast(&self.cast, &self.desk.tally, self.settings.speed, screen)?;
        let pace = Pace::new(self.settings.speed, from);
        let mut minute = from.0 / MINUTE_MS;
        while let Some(line) = self.traffic.next_line() {
            if line.time.0 / MINUTE_MS != minute {
                let counts = self.desk.tally.turn_minute();
                telling::minute(EventTime(minute * MINUTE_MS), counts, self.desk.stolen, screen)?;
                minute = line.time.0 / MINUTE_MS;
            }
            pace.wait_for(line.time);
            self.desk.hear(&self.cast, &line, screen)?;
        }
        self.desk.stage.turn(&mut self.desk.effects);
        self.desk.note_effects(&self.cast, true, screen)?;
        self.desk.clock.let_go();
        Ok(())
    }

    /// The incident and the decision, and a few calls more with both keys, shown one by one.
    pub fn conclude(&mut self, screen: &mut Screen) -> anyhow::Result<()> {
        let Self { cast, desk, .. } = self;
        telling::incident(cast, &desk.record, desk.clock.now(), desk.stolen, screen)?;
        telling::calls(cast, &desk.gate, screen)?;
        let mut answers = Vec::new();
        for _ in 0..CALLS {
            let answer = desk.gate.ask(&cast.keys[cast.leaked].raw_key)?;
            desk.stolen.count(&answer);
            answers.push(answer);
            if answers.last().is_some_and(Answer::is_refused) {
                break;
            }
        }
        telling::answers("stolen key", &answers, screen)?;
        answers.clear();
        for _ in 0..5 {
            let answer = desk.gate.ask(&cast.keys[cast.neighbour].raw_key)?;
            desk.neighbour.count(&answer);
            answers.push(answer);
        }
        telling::answers("neighbour", &answers, screen)?;
        Ok(())
    }

    /// What came of it.
    pub fn verdict(&mut self) -> Verdict {
        let record = std::mem::take(&mut self.desk.record);
        let decided = record.decision.as_ref().map(crate::respond::Decision::as_of);
        let since = |(at, from): (EventTime, EventTime)| at.since(from).as_secs();
        Verdict {
            requests: self.desk.stage.totals.requests,
            rejected: self.desk.stage.totals.rejected,
            stopped_after_seconds: decided.zip(self.desk.stolen_at).map(since),
            stolen: self.desk.stolen,
            neighbour: self.desk.neighbour,
            decisions_on_others: record.decisions_on_others.clone(),
            alarms: record.into_alarms(),
        }
    }
}

impl Desk {
    /// A request comes: where a decision is in force the gateway asks, and what is served is logged and judged.
    fn hear(&mut self, cast: &Cast, line: &Line<'_>, screen: &mut Screen) -> anyhow::Result<()> {
        self.clock.advance(line.time);
        let on_stage = line.time >= cast.live_from;
        if let Some(part) = cast.part(line.key) {
            self.tally.count(part, line.time);
        }
        let is_leaked = line.key == cast.leaked;
        if is_leaked && line.label.is_some() && self.stolen_at.is_none() {
            self.stolen_at = Some(line.time);
        }
        let asks = on_stage && self.record.decision.is_some() && (is_leaked || line.key == cast.neighbour);
        if asks {
            let answer = self.gate.ask(&cast.keys[line.key].raw_key)?;
            let asked = if is_leaked { &mut self.stolen } else { &mut self.neighbour };
            asked.count(&answer);
            // What the gateway refuses never gets to the upstream, and teaches Keyhound nothing.
            if answer.is_refused() {
                return Ok(());
            }
        } else if is_leaked && self.stolen_at.is_some() {
            self.stolen.served_before += 1;
        }
        self.stage.take(line, cast.format(line.key), &mut self.effects);
        self.note_effects(cast, on_stage, screen)
    }

    /// Takes decisions to the gateway, and notes and tells what happens.
    fn note_effects(&mut self, cast: &Cast, on_stage: bool, screen: &mut Screen) -> anyhow::Result<()> {
        for effect in std::mem::take(&mut self.effects) {
            match effect {
                Effect::Incident(incident) => {
                    self.gate.take_incident(&incident);
                    if on_stage {
                        telling::incident_line(cast, &incident, &self.record, screen)?;
                    }
                    self.record.note_incident(cast, &incident, on_stage);
                }
                Effect::Decision(decision) => {
                    let applied = self.gate.take_decision(&decision);
                    if on_stage {
                        telling::decision_line(&decision, applied, screen)?;
                    }
                    self.record.note_decision(cast, &decision, applied, on_stage);
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Does what an operator asked for, and tells gateways.
    pub fn command(&mut self, command: &crate::engine::Command) -> Vec<Effect> {
        let effects = self.stage.command(command);
        for effect in &effects {
            match effect {
                Effect::Incident(incident) => self.gate.take_incident(incident),
                Effect::Decision(decision) => {
                    self.gate.take_decision(decision);
                }
                _ => {}
            }
        }
        effects
    }
}

impl Asked {
    fn count(&mut self, answer: &Answer) {
        match answer.status {
            200 => self.served += 1,
            _ if answer.is_refused() => self.refused += 1,
            _ => self.odd += 1,
        }
    }
}

/// The columns of the live part, each part with what is usual for it.
pub(super) fn usual(tally: &Tally) -> [f64; 4] {
    Part::ALL.map(|part| tally.usual(part))
}
