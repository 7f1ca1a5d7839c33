//! Sources on one side, an embedded database on the other: the [`Log`] of one machine without internal topics.

use std::{collections::HashSet, fs, path::PathBuf, time::Duration};

use rusqlite::Connection;

use super::{
    database::{self, Identity, StoreError, TakenOver},
    delta::{Changes, Pieces},
    inputs::InputTable,
    instance::Instance,
    log::{Committed, Log, LogError, ReadEntry},
    outbox::Outbox,
    places,
    presence::Presence,
    record::{Entry, InputPosition, Mark, Output, Progress, Resume, Run, Topic},
    seal, tables,
};
use crate::source::{Batch, Contact, InputLag, InputName, Notice, Source};

/// What waits for the commit. Kept in memory, since a transaction that is held open would hold its log open.
#[derive(Default)]
struct Pending {
    outputs: Vec<Output>,
    changes: Changes,
    progress: Option<(Progress, Vec<Entry>)>,
    mark: Option<Mark>,
}

/// The log of a slot that reads sources and keeps everything in a database of its own.
pub struct EmbeddedLog {
    dir: PathBuf,
    db: Connection,
    /// Held for as long as the store is open, and released by the kernel whatever ends the process.
    _lock: fs::File,
    sources: Vec<Box<dyn Source>>,
    inputs: InputTable,
    outbox: Outbox,
    taken_over: TakenOver,
    instance: Instance,
    /// The acknowledgements that the last commit wrote.
    acknowledged: Vec<u64>,
    /// The source to ask first at the next poll, so that a busy one cannot starve the others.
    turn: usize,
    newest_output: u64,
    /// Of changed state, on their way to their table.
    pieces: Pieces,
    pending: Pending,
    /// Keys of the state whose entries had other bytes than were written: they go with the next checkpoint.
    damaged: Vec<Vec<u8>>,
}

impl EmbeddedLog {
    /// Opens the store in `dir`, or creates it. `dispatchers` are all who will acknowledge outputs.
    pub fn open(
        dir: PathBuf,
        identity: &Identity,
        sources: Vec<Box<dyn Source>>,
        dispatchers: &[String],
    ) -> Result<Self, StoreError> {
        let lock = database::lock(&dir)?;
        let (db, taken_over) = database::open(&dir, identity)?;
        places::settle(&db, &sources.iter().map(|source| source.reads()).collect())?;
        let inputs = InputTable::load(&db)?;
        let instance = Instance::of_store(&db)?;
        let pieces = Pieces::load(&db)?;
        let outbox = Outbox::open(&dir, &db, dispatchers)?;
        let newest_output = *outbox.newest().borrow();
        Ok(Self {
            dir,
            db,
            _lock: lock,
            sources,
            inputs,
            acknowledged: Vec::new(),
            outbox,
            taken_over,
            instance,
            turn: 0,
            newest_output,
            pieces,
            pending: Pending::default(),
            damaged: Vec::new(),
        })
    }

    /// The committed outputs.
    pub fn outbox(&self) -> Outbox {
        self.outbox.clone()
    }

    /// What was taken over from the decisions file.
    pub const fn taken_over(&self) -> &TakenOver {
        &self.taken_over
    }

    /// Which Keyhound this is.
    pub const fn instance(&self) -> &Instance {
        &self.instance
    }

    /// The files that are open, to be compared with those that stand at their path.
    pub fn presence(&self) -> Presence {
        database::presence(&self.dir)
    }

    fn source_of(&self, input: u32) -> Option<&dyn Source> {
        let source = self.inputs.get(input)?.source;
        self.sources.get(usize::from(source)).map(AsRef::as_ref)
    }

    fn poll_in_turn(&mut self, batch: &mut Batch, now: Duration, wait: Duration) -> Result<(), LogError> {
        let count = self.sources.len();
        for step in 0..count {
            if batch.room() == 0 {
                break;
            }
            let source = &mut self.sources[(self.turn + step) % count];
            source.poll(batch, &mut self.inputs, now, wait)?;
        }
        Ok(())
    }
}

impl Log for EmbeddedLog {
    fn assign(&mut self) -> Result<Resume, LogError> {
        let resume = Resume {
            mark: tables::meta(&self.db, "checkpoint")?,
            progress: tables::meta(&self.db, "progress")?,
            sequence: tables::sequence(&self.db)?,
        };
        for source in &mut self.sources {
            source.start(&mut self.inputs)?;
        }
        Ok(resume)
    }

    fn restore(&mut self, entry: &mut ReadEntry<'_>) -> Result<u64, LogError> {
        let tx = self.db.transaction().map_err(StoreError::from)?;
        let pieces = self.pieces.write_all(&tx)?;
        tx.commit().map_err(StoreError::from)?;
        self.pieces = pieces;
        let mut statement =
            self.db.prepare("SELECT key, value FROM state ORDER BY key").map_err(StoreError::from)?;
        let mut rows = statement.query([]).map_err(StoreError::from)?;
        self.damaged.clear();
        while let Some(row) = rows.next().map_err(StoreError::from)? {
            let column = |index| row.get_ref(index).ok().and_then(|value| value.as_blob().ok());
            let (key, sealed) = (column(0).unwrap_or_default(), column(1).unwrap_or_default());
            match seal::open(key, sealed) {
                Some(value) => entry(key, value)?,
                None => self.damaged.push(key.to_vec()),
            }
        }
        Ok(self.damaged.len() as u64)
    }

    fn told(&mut self, topic: Topic) -> Result<Vec<Vec<u8>>, LogError> {
        let current = self.outbox.current(topic, false)?;
        Ok(current.into_iter().map(|record| record.value).collect())
    }

    fn has_taken_over(&mut self) -> Result<bool, LogError> {
        Ok(tables::has_taken_over(&self.db)?)
    }

    fn read_again(&mut self, run: Run, batch: &mut Batch) -> Result<u64, LogError> {
        let unknown = LogError::UnknownInput { input: run.input };
        let Some(known) = self.inputs.get(run.input) else { return Err(unknown) };
        let name = InputName(known.name.clone());
        let Some(source) = self.sources.get_mut(usize::from(known.source)) else { return Err(unknown) };
        Ok(source.read_again(run.input, &name, run.from, run.to, batch)?)
    }

    fn poll_batch(&mut self, batch: &mut Batch, now: Duration, wait: Duration) -> Result<(), LogError> {
        if let [source] = self.sources.as_mut_slice() {
            return Ok(source.poll(batch, &mut self.inputs, now, wait)?);
        }
        self.poll_in_turn(batch, now, Duration::ZERO)?;
        if batch.is_empty() && !self.sources.is_empty() {
            // Nobody has anything: wait a share with each, so that none waits for another's silence for long.
            let share = wait / u32::try_from(self.sources.len()).unwrap_or(u32::MAX);
            self.poll_in_turn(batch, now, share)?;
        }
        self.turn = (self.turn + 1) % self.sources.len().max(1);
        Ok(())
    }

    fn opened(&mut self, into: &mut Vec<u32>) {
        self.inputs.take_opened(into);
    }

    fn ended(&mut self, into: &mut Vec<u32>) {
        self.inputs.take_ended(into);
    }

    fn idle(&self, input: u32) -> bool {
        self.source_of(input).is_none_or(|source| source.idle(input))
    }

    fn waits(&self, input: u32) -> bool {
        self.source_of(input).is_some_and(|source| source.waits(input))
    }

    fn finished(&self) -> bool {
        self.sources.iter().all(|source| source.finished())
    }

    fn rewindable(&self) -> bool {
        self.sources.iter().all(|source| source.rewindable())
    }

    fn lag(&self) -> Vec<(u16, InputLag)> {
        let mut lags = Vec::new();
        for (index, source) in (0..).zip(&self.sources) {
            lags.extend(source.lag().into_iter().map(|lag| (index, lag)));
        }
        lags
    }

    fn contacts(&self, now: Duration) -> Vec<Contact> {
        self.sources.iter().map(|source| source.contact(now)).collect()
    }

    fn input_name(&self, input: u32) -> Option<String> {
        self.inputs.get(input).map(|known| known.name.clone())
    }

    fn notices(&mut self, into: &mut Vec<Notice>) {
        for source in &mut self.sources {
            source.notices(into);
        }
    }

    fn wants_commit(&self) -> bool {
        self.inputs.is_changed() || self.outbox.acknowledgements() != self.acknowledged
    }

    fn begin(&mut self) -> Result<(), LogError> {
        self.abort()
    }

    fn produce(&mut self, output: Output) -> Result<(), LogError> {
        self.pending.outputs.push(output);
        Ok(())
    }

    fn begin_checkpoint(&mut self) {
        self.inputs.begin_checkpoint();
    }

    fn is_moving(&self) -> bool {
        self.pieces.is_moving()
    }

    fn keep(&mut self, key: &[u8], value: Option<&[u8]>) -> Result<(), LogError> {
        let sealed = value.map(|value| seal::seal(key, value));
        self.pending.changes.push(key, sealed.as_deref());
        Ok(())
    }

    fn in_flight(&mut self) -> Result<usize, LogError> {
        Ok(0)
    }

    fn send_positions(
        &mut self,
        progress: &Progress,
        positions: &[InputPosition],
        sequence: &[Entry],
    ) -> Result<(), LogError> {
        self.inputs.advance(positions);
        self.pending.progress = Some((progress.clone(), sequence.to_vec()));
        Ok(())
    }

    fn checkpoint(&mut self, mark: &Mark) -> Result<(), LogError> {
        self.pending.mark = Some(mark.clone());
        Ok(())
    }

    fn commit(&mut self, wall_ms: u64) -> Result<Committed, LogError> {
        let acknowledged = self.outbox.acknowledgements();
        if let Some(mark) = &self.pending.mark {
            // Not part of the digest: they follow from decisions that are, and from when a checkpoint was taken.
            // A key that is decided on again in this very commit has no tombstone.
            let decided: HashSet<&str> =
                self.pending.outputs.iter().map(|output| output.key.as_str()).collect();
            let mut tombstones = tables::tombstones(&self.db, mark.progress.watermark_ms)?;
            tombstones.retain(|tombstone| !decided.contains(tombstone.key.as_str()));
            self.pending.outputs.extend(tombstones);
        }
        let newest = self.newest_output + self.pending.outputs.len() as u64;
        let tx = self.db.transaction().map_err(StoreError::from)?;
        tables::write_outputs(&tx, self.newest_output + 1, &self.pending.outputs, wall_ms)?;
        if let Some((progress, sequence)) = &self.pending.progress {
            tables::write_progress(&tx, progress, sequence)?;
        }
        if let Some(mark) = &self.pending.mark {
            tables::forget_closed(&tx, mark.progress.watermark_ms)?;
            tables::write_mark(&tx, mark)?;
            // Ahead of what the checkpoint writes, which may have new ones.
            tables::forget_state(&tx, &self.damaged)?;
        }
        let is_checkpoint = self.pending.mark.is_some();
        let pieces = self.pieces.write(&tx, &self.pending.changes, is_checkpoint)?;
        self.inputs.write(&tx, is_checkpoint)?;
        if acknowledged != self.acknowledged || newest != self.newest_output {
            self.outbox.write(&tx, &acknowledged, newest)?;
        }
        tx.commit().map_err(StoreError::from)?;
        if is_checkpoint {
            self.damaged.clear();
        }
        self.pieces = pieces;
        self.acknowledged = acknowledged;
        self.newest_output = newest;
        self.abort()?;
        self.outbox.announce(newest);
        Ok(Committed { newest_output: newest, store_bytes: database::size(&self.dir) })
    }

    fn abort(&mut self) -> Result<(), LogError> {
        self.pending.outputs.clear();
        self.pending.changes.clear();
        self.pending.progress = None;
        self.pending.mark = None;
        Ok(())
    }
}
