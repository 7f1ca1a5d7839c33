//! The way of an operator's command to the slot, and of what came of it back.
//!
//! The queue is short and never waited for: a full one is said at once. The command's sequence is left at 0: whoever
//! takes it gives it its place among the inputs.

use std::{
    sync::{
        Arc,
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    time::Duration,
};

use tokio::{sync::oneshot, time};

use crate::engine::{Command, Effect};

/// How long an operator waits for a command to be applied.
const WAIT: Duration = Duration::from_secs(5);

/// A command with the place for its answer: the effects that it had, once they are committed. An answer without any
/// says only that it is committed.
#[derive(Debug)]
pub struct Asked {
    pub command: Command,
    pub reply: oneshot::Sender<Vec<Effect>>,
}

/// Why a command has no answer.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum CommandError {
    #[error("too many commands wait; try again in a moment")]
    Busy,
    #[error("the command was taken and is not applied yet, after {} s; see the list of decisions", WAIT.as_secs())]
    Pending,
    #[error("state is being restored; nothing was done, try again once /readyz says so")]
    Starting,
    #[error("the engine is not running")]
    Gone,
}

/// Hands commands to the slot.
#[derive(Clone)]
pub struct Commander(Arc<dyn Fn(Asked) -> Result<(), CommandError> + Send + Sync>);

impl Commander {
    /// Any way to hand a command over that does not wait.
    pub fn new(submit: impl Fn(Asked) -> Result<(), CommandError> + Send + Sync + 'static) -> Self {
        Self(Arc::new(submit))
    }

    /// A bounded queue, and its other end.
    pub fn channel(capacity: usize) -> (Self, Receiver<Asked>) {
        use std::sync::mpsc::TrySendError;
        let (sender, receiver): (SyncSender<Asked>, _) = sync_channel(capacity);
        let commander = Self::new(move |asked| {
            sender.try_send(asked).map_err(|error| match error {
                TrySendError::Full(_) => CommandError::Busy,
                TrySendError::Disconnected(_) => CommandError::Gone,
            })
        });
        (commander, receiver)
    }

    /// Hands `command` over and leaves what comes of it to others. Gives whether it was taken.
    pub fn hand_over(&self, command: Command) -> bool {
        let (reply, _) = oneshot::channel();
        (self.0)(Asked { command, reply }).is_ok()
    }

    /// Hands `command` over and waits for what came of it.
    pub async fn apply(&self, command: Command) -> Result<Vec<Effect>, CommandError> {
        let (reply, answer) = oneshot::channel();
        (self.0)(Asked { command, reply })?;
        match time::timeout(WAIT, answer).await {
            Ok(Ok(effects)) => Ok(effects),
            Ok(Err(_)) => Err(CommandError::Gone),
            Err(_) => Err(CommandError::Pending),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Action;

    fn pause() -> Command {
        let (by, from, reason) = Default::default();
        Command { sequence: 0, at_ms: 0, by, from, reason, action: Action::Pause }
    }

    #[tokio::test(start_paused = true)]
    async fn an_engine_that_does_not_answer_keeps_nobody_waiting() {
        let (commander, queue) = Commander::channel(1);
        assert_eq!(commander.apply(pause()).await, Err(CommandError::Pending));
        assert_eq!(commander.apply(pause()).await, Err(CommandError::Busy));
        drop(queue);
        assert_eq!(commander.apply(pause()).await, Err(CommandError::Gone));
    }
}
