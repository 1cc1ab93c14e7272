//! Media of one user on its connection: takes and gives pieces, and lets them go wrong as control has
//! armed it, under the names `upload` and `fetch`.

use crate::channel::Channel;
use crate::protocol::ServerFrame;
use crate::requests::RequestFault;
use crate::transfer::{Fetch, Upload};
use crate::user::{User, UserState};

pub(crate) fn upload(
    channel: &Channel,
    user: &User,
    state: &mut UserState,
    piece: Upload,
) -> (ServerFrame, Option<RequestFault>) {
    let upload = piece.upload.clone();
    let fault = state.requests.fault("upload");
    let outcome = match &fault {
        Some(RequestFault::Refuse(fault)) => Err(fault.clone()),
        _ => {
            state.uploaded_bytes += piece.data.len() as u64;
            let id = channel.medium_id();
            channel.media.upload(&user.name, piece, id)
        }
    };
    let frame = match outcome {
        Ok(uploaded) => ServerFrame::Uploaded(uploaded),
        Err(error) => ServerFrame::UploadDenied { upload, error },
    };
    (frame, fault)
}

pub(crate) fn fetch(
    channel: &Channel,
    state: &mut UserState,
    asked: Fetch,
) -> (ServerFrame, Option<RequestFault>) {
    let fault = state.requests.fault("fetch");
    let outcome = match &fault {
        Some(RequestFault::Refuse(fault)) => Err(fault.clone()),
        _ => channel.media.piece(&asked),
    };
    let frame = match outcome {
        Ok(piece) => {
            state.fetched_bytes += piece.data.len() as u64;
            ServerFrame::Piece(piece)
        }
        Err(error) => ServerFrame::FetchDenied {
            medium: asked.medium,
            error,
        },
    };
    (frame, fault)
}
