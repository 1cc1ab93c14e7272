//! A send that has come, on whatever way: refused, or made a message of, once.

use std::time::Instant;

use crate::channel::{Channel, now_ms};
use crate::journal::{Arrival, Limits};
use crate::model::{Body, Message, Receipt};
use crate::protocol::{Accepted, ECHO_CONVERSATION, Fault, Outgoing};
use crate::user::{User, UserState};

/// It was taken. How it is answered:
pub(crate) enum Taken {
    Answer(Accepted),
    NoAnswer,
    /// By the end of the connection.
    Drop,
}

pub(crate) fn send(
    channel: &Channel,
    user: &User,
    state: &mut UserState,
    mut sent: Outgoing,
    connection: u64,
) -> Result<Taken, Fault> {
    let behaviour = channel.behaviour_of(state);
    let limits = Limits {
        records: channel.settings.journal_limit,
        tokens: channel.settings.token_limit,
    };
    let arrival = Arrival {
        n: channel.next_arrival(),
        connection,
        at_ms: now_ms(),
    };
    if let Err(fault) = admit(channel, user, state, &mut sent) {
        state
            .journal
            .refuse(&user.name, &sent, arrival, &fault, &limits);
        return Err(fault);
    }
    let accepted = state.journal.take(
        &user.name,
        &sent,
        arrival,
        &channel.epoch,
        behaviour.dedupe,
        &limits,
    );
    let taken = if state.faults.lose_answers > 0 {
        state.faults.lose_answers -= 1;
        Taken::Drop
    } else if behaviour.never_answer {
        Taken::NoAnswer
    } else {
        Taken::Answer(accepted.clone())
    };
    if accepted.repeated {
        return Ok(taken);
    }
    channel
        .world(user, state)
        .sent(&sent, &accepted.message, accepted.sent_at);
    // A full inbox loses these events, nothing else.
    if behaviour.receipts {
        for kind in ["delivered", "read"] {
            let receipt = Receipt {
                conversation: sent.conversation.clone(),
                messages: vec![accepted.message.clone()],
                by: Some(sent.conversation.clone()),
                kind: kind.to_owned(),
                ..Receipt::default()
            };
            let _ = channel.push_event(user, state, Body::Receipt(receipt));
        }
    }
    if behaviour.echo && sent.conversation == ECHO_CONVERSATION {
        let echo = Message {
            conversation: ECHO_CONVERSATION.to_owned(),
            title: Some("Echo".to_owned()),
            sender: ECHO_CONVERSATION.to_owned(),
            sender_name: Some("Echo".to_owned()),
            content: sent.content,
            thread: sent.thread,
            ..Message::default()
        };
        let _ = channel.push_event(user, state, Body::Message(echo));
    }
    Ok(taken)
}

fn admit(
    channel: &Channel,
    user: &User,
    state: &mut UserState,
    sent: &mut Outgoing,
) -> Result<(), Fault> {
    if let Some((count, fault)) = state.faults.refuse.take() {
        state.faults.refuse = (count > 1).then(|| (count - 1, fault.clone()));
        return Err(fault);
    }
    let behaviour = channel.behaviour_of(state);
    state.requests.admit(behaviour.rate_limit, Instant::now())?;
    if behaviour.dedupe && state.journal.knows(&sent.token) {
        // It was good when it came first, and is what it was.
        return Ok(());
    }
    channel.world(user, state).check_send(sent, now_ms())
}
