//! Contacts, and the user itself.

use super::page::page;
use super::{World, at_most, named};
use crate::limits;
use crate::model::{Body, Contact};
use crate::protocol::Fault;
use crate::request::{Page, Pages};

impl World {
    pub(super) fn list_contacts(
        &self,
        asked: &Page,
        blocked: bool,
    ) -> Result<Pages<Contact>, Fault> {
        let entries = self
            .contacts
            .iter()
            .filter(|(_, contact)| !blocked || contact.is_blocked == Some(true))
            .map(|(id, contact)| (id.clone(), contact.clone()));
        page(entries, asked)
    }

    pub(super) fn contact(&self, id: &str) -> Option<Contact> {
        self.contacts.get(id).cloned()
    }

    /// By id, phone (with or without its plus sign), user name or alias.
    pub(super) fn resolve(&self, address: &str) -> Option<Contact> {
        let address = address.trim();
        let digits = address.strip_prefix('+').unwrap_or(address);
        let username = address.strip_prefix('@').unwrap_or(address);
        self.contacts
            .values()
            .find(|contact| {
                contact.id == address
                    || contact.phone.as_deref() == Some(digits)
                    || contact.username.as_deref() == Some(username)
                    || contact.aliases.iter().any(|alias| alias == address)
            })
            .cloned()
    }

    pub(super) fn change_contact(
        &mut self,
        id: &str,
        change: impl FnOnce(&mut Contact),
    ) -> Result<(), Fault> {
        let contact = self
            .contacts
            .get_mut(id)
            .ok_or_else(|| Fault::new("not-found", "there is no such contact"))?;
        change(contact);
        let seen = contact.clone();
        self.events.push(Body::Contact(seen));
        Ok(())
    }

    pub(super) fn set_note(&mut self, id: &str, note: String) -> Result<(), Fault> {
        at_most("a note", &note, limits::NOTE_CHARS)?;
        self.change_contact(id, |contact| {
            contact.note = Some(note).filter(|note| !note.is_empty());
        })
    }

    pub(super) fn set_profile(
        &mut self,
        name: Option<String>,
        about: Option<String>,
        avatar: Option<String>,
    ) -> Result<(), Fault> {
        if let Some(name) = &name {
            named("a name", name, limits::NAME_CHARS)?;
        }
        if let Some(about) = &about {
            at_most(
                "what a person says of itself",
                about,
                limits::DESCRIPTION_CHARS,
            )?;
        }
        if let Some(medium) = avatar {
            self.me.avatar = Some(self.media.avatar(&medium)?);
        }
        if let Some(name) = name {
            self.me.name = name;
        }
        if let Some(about) = about {
            self.me.about = Some(about).filter(|about| !about.is_empty());
        }
        Ok(())
    }
}
