//! Groups: who is in them and who may change what. Owners and admins change; one owner stays.

use std::sync::Arc;

use super::{Chat, Role, World, at_most, named};
use crate::limits;
use crate::model::{Body, Conversation, GroupChange};
use crate::protocol::Fault;
use crate::request::{Answer, Applicant, MemberChange, Page, Pages};

impl World {
    /// Those that the user is in.
    pub(super) fn list_groups(&self, asked: &Page, now: u64) -> Result<Pages<Conversation>, Fault> {
        self.list(asked, now, |chat| {
            chat.kind == "group" && chat.members.contains_key(&self.me.id)
        })
    }

    pub(super) fn group(&mut self, id: &str) -> Result<&mut Chat, Fault> {
        match self.chats.get_mut(id) {
            Some(chat) if chat.kind == "group" => Ok(chat),
            _ => Err(Fault::new("not-found", "there is no such group")),
        }
    }

    /// A group that `by` may change.
    fn managed(&mut self, by: &str, id: &str) -> Result<&mut Chat, Fault> {
        let by = by.to_owned();
        let group = self.group(id)?;
        match group.members.get(&by) {
            Some((Role::Owner | Role::Admin, _)) => Ok(group),
            _ => Err(Fault::new(
                "forbidden",
                "only its owner and admins may do this",
            )),
        }
    }

    fn changed(
        &mut self,
        id: &str,
        by: &str,
        kind: &str,
        members: Vec<String>,
        extra: Option<String>,
    ) {
        self.events.push(Body::Group(GroupChange {
            conversation: id.to_owned(),
            by: Some(by.to_owned()),
            kind: kind.to_owned(),
            members,
            extra,
        }));
    }

    pub(super) fn create_group(
        &mut self,
        name: &str,
        members: Vec<String>,
        now: u64,
    ) -> Result<String, Fault> {
        named("a group's name", name, limits::NAME_CHARS)?;
        if members.len() >= limits::GROUP_MEMBERS {
            return Err(too_many());
        }
        let id = self.next_id("group");
        let mut chat = Chat::new("group", name, now);
        for member in &members {
            self.contact_or_new(member);
            chat.members.insert(member.clone(), (Role::Member, now));
        }
        let me = self.me.id.clone();
        chat.members.insert(me.clone(), (Role::Owner, now));
        self.chats.insert(id.clone(), chat);
        self.changed(&id, &me, "created", members, None);
        Ok(id)
    }

    pub(super) fn leave_group(&mut self, id: &str) -> Result<(), Fault> {
        let me = self.me.id.clone();
        let group = self.group(id)?;
        let Some((role, _)) = group.members.remove(&me) else {
            return Err(Fault::new("conflict", "the account is not in this group"));
        };
        hand_on(group, role);
        self.changed(id, &me, "left", Vec::new(), None);
        Ok(())
    }

    pub(super) fn change_members(
        &mut self,
        by: &str,
        id: &str,
        change: MemberChange,
        members: Vec<String>,
        now: u64,
    ) -> Result<(), Fault> {
        let group = self.managed(by, id)?;
        for member in &members {
            let role = group.members.get(member).map(|(role, _)| *role);
            match (change, role) {
                (MemberChange::Add, Some(_)) => {
                    return Err(Fault::new("conflict", "is in the group already"));
                }
                (MemberChange::Add, None) => {}
                (_, None) => return Err(Fault::new("not-found", "is not in the group")),
                (MemberChange::Promote, Some(_)) => {}
                (_, Some(Role::Owner)) => {
                    return Err(Fault::new("forbidden", "the owner stays the owner"));
                }
                _ => {}
            }
        }
        if change == MemberChange::Add
            && group.members.len() + members.len() > limits::GROUP_MEMBERS
        {
            return Err(too_many());
        }
        for member in &members {
            match change {
                MemberChange::Add => {
                    group.applicants.remove(member);
                    group.members.insert(member.clone(), (Role::Member, now));
                }
                MemberChange::Remove => {
                    group.members.remove(member);
                }
                MemberChange::Promote | MemberChange::Demote => {
                    if let Some((role, _)) = group.members.get_mut(member)
                        && *role != Role::Owner
                    {
                        *role = if change == MemberChange::Promote {
                            Role::Admin
                        } else {
                            Role::Member
                        };
                    }
                }
            }
        }
        for member in &members {
            if *member != self.me.id {
                self.contact_or_new(member);
            }
        }
        let kind = match change {
            MemberChange::Add => "added",
            MemberChange::Remove => "removed",
            MemberChange::Promote => "promoted",
            MemberChange::Demote => "demoted",
        };
        self.changed(id, by, kind, members, None);
        Ok(())
    }

    pub(super) fn set_group_info(
        &mut self,
        by: &str,
        id: &str,
        name: Option<String>,
        description: Option<String>,
        avatar: Option<String>,
    ) -> Result<(), Fault> {
        let media = Arc::clone(&self.media);
        let group = self.managed(by, id)?;
        if let Some(name) = &name {
            named("a group's name", name, limits::NAME_CHARS)?;
        }
        if let Some(description) = &description {
            at_most("a description", description, limits::DESCRIPTION_CHARS)?;
        }
        let avatar = match avatar {
            Some(medium) => Some(media.avatar(&medium)?),
            None => None,
        };
        let mut extra = serde_json::Map::new();
        if let Some(name) = name {
            extra.insert("name".to_owned(), name.as_str().into());
            group.title = name;
        }
        if let Some(description) = description {
            extra.insert("description".to_owned(), description.as_str().into());
            group.description = Some(description).filter(|text| !text.is_empty());
        }
        if let Some(avatar) = avatar {
            extra.insert("avatar".to_owned(), avatar.id.as_str().into());
            group.avatar = Some(avatar);
        }
        let extra = serde_json::Value::Object(extra).to_string();
        self.changed(id, by, "info", Vec::new(), Some(extra));
        Ok(())
    }

    pub(super) fn join_requests(&mut self, id: &str) -> Result<Vec<Applicant>, Fault> {
        let me = self.me.id.clone();
        let applicants = self.managed(&me, id)?.applicants.clone();
        Ok(applicants
            .into_iter()
            .map(|(id, requested_at)| Applicant {
                contact: self.person(&id),
                requested_at,
            })
            .collect())
    }

    pub(super) fn decide_join_requests(
        &mut self,
        id: &str,
        members: Vec<String>,
        approve: bool,
        now: u64,
    ) -> Result<(), Fault> {
        let me = self.me.id.clone();
        let group = self.managed(&me, id)?;
        if members
            .iter()
            .any(|member| !group.applicants.contains_key(member))
        {
            return Err(Fault::new("not-found", "did not ask to be let in"));
        }
        if approve {
            return self.change_members(&me, id, MemberChange::Add, members, now);
        }
        for member in members {
            group.applicants.remove(&member);
        }
        Ok(())
    }

    pub(super) fn set_join_approval(&mut self, id: &str, enabled: bool) -> Result<(), Fault> {
        let me = self.me.id.clone();
        self.managed(&me, id)?.needs_approval = enabled;
        self.changed(id, &me, "settings", Vec::new(), None);
        Ok(())
    }

    /// The same until it is given up, which nobody can ask for yet.
    pub(super) fn invitation(&mut self, id: &str) -> Result<Answer, Fault> {
        let me = self.me.id.clone();
        self.managed(&me, id)?;
        let fresh = self.next_id("invite");
        let code = self.group(id)?.invitation.get_or_insert(fresh).clone();
        Ok(Answer::Invitation {
            url: format!("https://simulator.invalid/join/{code}"),
            code,
        })
    }

    /// Somebody asks to be let in, or is in at once.
    pub(super) fn join(&mut self, who: &str, id: &str, now: u64) -> Result<(), Fault> {
        let group = self.group(id)?;
        if group.members.contains_key(who) {
            return Err(Fault::new("conflict", "is in the group already"));
        }
        if group.members.len() >= limits::GROUP_MEMBERS {
            return Err(too_many());
        }
        if group.needs_approval {
            group.applicants.insert(who.to_owned(), now);
            let contact = self.contact_or_new(who).clone();
            self.events
                .push(Body::JoinRequest(crate::model::JoinRequest {
                    conversation: id.to_owned(),
                    contact,
                }));
        } else {
            group.members.insert(who.to_owned(), (Role::Member, now));
            self.contact_or_new(who);
            self.changed(id, who, "joined", Vec::new(), None);
        }
        Ok(())
    }

    pub(super) fn leave(&mut self, who: &str, id: &str) -> Result<(), Fault> {
        let group = self.group(id)?;
        let Some((role, _)) = group.members.remove(who) else {
            return Err(Fault::new("not-found", "is not in the group"));
        };
        hand_on(group, role);
        self.changed(id, who, "left", Vec::new(), None);
        Ok(())
    }
}

/// A group whose owner has left belongs to the one who stands highest in it.
fn hand_on(group: &mut Chat, left: Role) {
    if left != Role::Owner {
        return;
    }
    if let Some((role, _)) = group.members.values_mut().max_by_key(|(role, _)| *role) {
        *role = Role::Owner;
    }
}

fn too_many() -> Fault {
    let message = format!("a group has at most {} members", limits::GROUP_MEMBERS);
    Fault::new("quota-exceeded", message)
}
