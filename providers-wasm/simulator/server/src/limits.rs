//! What the channel takes, held by the server and declared by its providers.

/// Unicode scalar values of a text or a caption.
pub const TEXT_CHARS: usize = 65_536;
/// Contact cards in one message.
pub const CONTACT_CARDS: usize = 10;
/// Choices of one interactive message, over all sections.
pub const CHOICES: usize = 20;
/// Bytes of a custom message's value.
pub const CUSTOM_BYTES: usize = 32 * 1024;
/// Mentions in one text.
pub const MENTIONS: usize = 100;
/// A message can be edited for so long after it was sent.
pub const EDIT_MS: u64 = 24 * 60 * 60 * 1000;
/// Pinned messages of one conversation.
pub const PINNED_MESSAGES: usize = 3;
/// Unicode scalar values of a reaction.
pub const EMOJI_CHARS: usize = 16;
/// Entries of one page, however many are asked for.
pub const PAGE: u32 = 100;
/// Bytes of one page, of which one entry always comes.
pub const PAGE_BYTES: usize = 512 * 1024;
/// Pinned conversations.
pub const PINNED_CONVERSATIONS: usize = 5;
pub const LABELS: usize = 20;
/// Conversations that one request puts a label on.
pub const LABELLED: usize = 100;
/// What can be told to be going on in a conversation.
pub const ACTIVITIES: [&str; 3] = ["typing", "recording", "uploading"];
/// Unicode scalar values of a label's name.
pub const LABEL_CHARS: usize = 50;
/// Unicode scalar values of a group's or a person's name.
pub const NAME_CHARS: usize = 100;
/// Unicode scalar values of a group's description, and of what a person says of itself.
pub const DESCRIPTION_CHARS: usize = 500;
/// Members of a group, the account included.
pub const GROUP_MEMBERS: usize = 256;
/// Unicode scalar values of the note on a contact.
pub const NOTE_CHARS: usize = 500;
/// Bytes of one medium, of whatever kind.
pub const MEDIA_BYTES: u64 = 512 * 1024 * 1024;
/// Bytes of an image or a voice message.
pub const IMAGE_BYTES: u64 = 32 * 1024 * 1024;
/// Bytes of a sticker.
pub const STICKER_BYTES: u64 = 1024 * 1024;
/// Bytes of the picture of a person or a group.
pub const AVATAR_BYTES: u64 = 5 * 1024 * 1024;
/// Media of one message.
pub const ATTACHMENTS: usize = 10;
/// Bytes of a medium in one frame.
pub const PIECE_BYTES: u32 = 256 * 1024;
/// Media of one user that have come up in part; of more, the oldest is forgotten.
pub const UNFINISHED_UPLOADS: usize = 32;
/// Bytes of an id that a client names.
pub const ID_BYTES: usize = 256;

/// Kinds of attachments.
pub const MEDIA_KINDS: [&str; 6] = ["image", "video", "audio", "voice", "document", "sticker"];

/// Bytes of one medium as an attachment of this kind. None: there is no such kind.
pub fn media_bytes(kind: &str) -> Option<u64> {
    match kind {
        "image" | "voice" => Some(IMAGE_BYTES),
        "sticker" => Some(STICKER_BYTES),
        "video" | "audio" | "document" => Some(MEDIA_BYTES),
        _ => None,
    }
}
