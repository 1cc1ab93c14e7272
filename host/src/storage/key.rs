//! The operator's keys: where they come from, which are in force, and the files of a rotation.
//!
//! The database names each operator key that some data key is wrapped with (version and check
//! value). There is one, and two while a rotation goes on. A key that the database names is never
//! removed from the place where it is kept, so that a crash at any point leaves an installation
//! that opens. Never writes a key to a log or an error's text.

use super::seal::{DataKey, OperatorKey, TOKENS, WrappingKey};
use super::{Conflict, StorageError};
use std::ffi::OsString;
use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{PoisonError, RwLock};
use zeroize::Zeroizing;

/// Where the operator's key comes from.
#[derive(Clone, Debug)]
pub enum KeySource {
    /// This file. It is made together with a new database, and must be there for an old one. A
    /// rotation puts the new key into [`next_file`] beside it first.
    File(PathBuf),
    /// From the environment.
    Given(OperatorKey),
    /// From the environment, with the one that a rotation goes over to.
    GivenWithNext { key: OperatorKey, next: OperatorKey },
}

/// A key that the database names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRow {
    pub version: i64,
    pub check_value: Vec<u8>,
}

impl KeyRow {
    /// As it stands in the database.
    pub fn version_of(text: &[u8]) -> Option<i64> {
        std::str::from_utf8(text).ok()?.parse().ok()
    }

    /// Of the values of `meta`: `operator_check`, and while a rotation goes on
    /// `operator_check_before`; `operator_version` is that of the first.
    pub fn of_meta(
        check: Option<Vec<u8>>,
        before: Option<Vec<u8>>,
        version: Option<Vec<u8>>,
    ) -> Result<Vec<Self>, StorageError> {
        let damaged = || unusable("the database does not name its operator key".to_owned());
        let version = match version {
            Some(text) => Self::version_of(&text).ok_or_else(damaged)?,
            None => 1,
        };
        let mut rows = Vec::new();
        if let Some(check_value) = before {
            rows.push(Self {
                version: version - 1,
                check_value,
            });
        }
        rows.push(Self {
            version,
            check_value: check.ok_or_else(damaged)?,
        });
        Ok(rows)
    }
}

/// The new key of a rotation, until it is the only one.
pub fn next_file(path: &Path) -> PathBuf {
    beside(path, ".next")
}

/// Where the key before goes: backups of its time are still wrapped with it.
pub fn retired_file(path: &Path, version: i64) -> PathBuf {
    beside(path, &format!(".v{version}"))
}

fn beside(path: &Path, end: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(end);
    PathBuf::from(name)
}

/// None when there is no such file. One that others may read is refused.
pub fn load(path: &Path) -> io::Result<Option<OperatorKey>> {
    let metadata = match fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mode = metadata.permissions().mode() & 0o777;
    if mode & 0o027 != 0 {
        let who = if mode & 0o007 != 0 {
            "everybody on this machine"
        } else {
            "its group"
        };
        return Err(io::Error::new(
            io::ErrorKind::PermissionDenied,
            format!(
                "is open to {who} (mode {mode:04o}); take that away first: chmod 600 {}",
                path.display()
            ),
        ));
    }
    if mode & 0o040 != 0 {
        tracing::warn!(
            path = %path.display(),
            mode = format!("{mode:04o}"),
            "the operator key can be read by a group; nobody but the host needs it"
        );
    }
    let text = Zeroizing::new(fs::read_to_string(path)?);
    OperatorKey::parse(&text).map(Some).ok_or_else(|| {
        io::Error::new(
            io::ErrorKind::InvalidData,
            "holds no operator key, which is 64 hexadecimal digits",
        )
    })
}

/// Writes a key to a file that only its owner may read. The file is whole or not there.
pub fn store(path: &Path, key: &OperatorKey) -> io::Result<()> {
    let mut text = key.text();
    text.push('\n');
    let partial = beside(path, ".new");
    let _ = fs::remove_file(&partial);
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&partial)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(partial, path)?;
    sync_directory(path)
}

fn sync_directory(path: &Path) -> io::Result<()> {
    match path.parent().filter(|path| !path.as_os_str().is_empty()) {
        Some(directory) => fs::File::open(directory)?.sync_all(),
        None => fs::File::open(".")?.sync_all(),
    }
}

/// The wrapping keys that the database names, as the stores use them.
#[derive(Debug)]
pub struct Wrapping {
    source: KeySource,
    state: RwLock<State>,
}

/// The keys as they were.
pub struct Before(State);

#[derive(Clone, Debug)]
struct State {
    current: (i64, WrappingKey),
    /// While a rotation goes on.
    before: Option<(i64, WrappingKey)>,
}

fn unusable(text: String) -> StorageError {
    StorageError::Unusable(text)
}

fn of_file(path: &Path, error: &io::Error) -> StorageError {
    unusable(format!("the operator key {} {error}", path.display()))
}

impl KeySource {
    /// The keys there are, and the file's next last.
    fn candidates(&self) -> Result<Vec<OperatorKey>, StorageError> {
        match self {
            Self::Given(key) => Ok(vec![key.clone()]),
            Self::GivenWithNext { key, next } => Ok(vec![key.clone(), next.clone()]),
            Self::File(path) => {
                let mut keys = Vec::new();
                for path in [path.clone(), next_file(path)] {
                    keys.extend(load(&path).map_err(|error| of_file(&path, &error))?);
                }
                Ok(keys)
            }
        }
    }

    /// What is to seal tokens in an installation without a key for it: in one from before there
    /// were such keys, what clients have got must go on to open.
    pub(in crate::storage) fn token_key(&self, new: bool) -> Result<DataKey, StorageError> {
        if new {
            return Ok(DataKey::generate(TOKENS));
        }
        let missing = || missing(self, &[], "the database");
        let key = self.candidates()?.into_iter().next().ok_or_else(missing)?;
        Ok(key.first_token_key())
    }

    /// For a new database: the key, made if this is a file that is not there.
    fn first(&self) -> Result<OperatorKey, StorageError> {
        let path = match self {
            Self::Given(key) | Self::GivenWithNext { key, .. } => return Ok(key.clone()),
            Self::File(path) => path,
        };
        let failed = |error: io::Error| of_file(path, &error);
        if let Some(key) = load(path).map_err(failed)? {
            return Ok(key);
        }
        let key = OperatorKey::generate();
        store(path, &key).map_err(failed)?;
        Ok(key)
    }
}

impl Wrapping {
    /// For a new database, which is to hold the row.
    pub fn create(source: &KeySource) -> Result<(Self, KeyRow), StorageError> {
        let key = source.first()?.wrapping_key();
        let row = KeyRow {
            version: 1,
            check_value: key.check_value(),
        };
        let wrapping = Self {
            source: source.clone(),
            state: RwLock::new(State {
                current: (1, key),
                before: None,
            }),
        };
        Ok((wrapping, row))
    }

    /// For a database that names these keys, oldest first. Refuses if one of them is not there.
    pub fn open(source: &KeySource, rows: &[KeyRow], database: &str) -> Result<Self, StorageError> {
        let candidates = source.candidates()?;
        let mut found = Vec::with_capacity(rows.len());
        for row in rows {
            let key = candidates
                .iter()
                .map(OperatorKey::wrapping_key)
                .find(|key| key.accepts(&row.check_value));
            found.push((
                row.version,
                key.ok_or_else(|| missing(source, &candidates, database))?,
            ));
        }
        let current = found
            .pop()
            .ok_or_else(|| missing(source, &candidates, database))?;
        let wrapping = Self {
            source: source.clone(),
            state: RwLock::new(State {
                current,
                before: found.pop(),
            }),
        };
        wrapping.settle_files();
        Ok(wrapping)
    }

    fn state(&self) -> State {
        self.state
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn set(&self, state: State) {
        *self.state.write().unwrap_or_else(PoisonError::into_inner) = state;
    }

    /// Version of the key that wraps what is made now.
    pub fn version(&self) -> i64 {
        self.state().current.0
    }

    /// Is a rotation under way?
    pub fn is_rotating(&self) -> bool {
        self.state().before.is_some()
    }

    /// With the version of the key that wraps it.
    pub fn wrap(&self, key: &DataKey) -> (i64, Vec<u8>) {
        let (version, wrapping) = self.state().current;
        (version, wrapping.wrap(key))
    }

    /// None: wrapped by no key that is in force, for another owner, or damaged.
    pub fn unwrap(&self, owner: &str, wrapped: &[u8]) -> Option<DataKey> {
        let state = self.state();
        state
            .current
            .1
            .unwrap(owner, wrapped)
            .or_else(|| state.before?.1.unwrap(owner, wrapped))
    }

    /// The key of the next version, which is safe where it is kept. None: a rotation is under way
    /// and has to be ended first.
    pub fn next(&self) -> Result<Option<(KeyRow, WrappingKey)>, StorageError> {
        let state = self.state();
        if state.before.is_some() {
            return Ok(None);
        }
        let key = match &self.source {
            KeySource::Given(_) => return Err(StorageError::Conflict(Conflict::NextKeyMissing)),
            KeySource::GivenWithNext { next, .. } => next.clone(),
            KeySource::File(path) => {
                let next = next_file(path);
                let failed = |error: io::Error| of_file(&next, &error);
                match load(&next).map_err(failed)? {
                    Some(key) => key,
                    None => {
                        let key = OperatorKey::generate();
                        store(&next, &key).map_err(failed)?;
                        key
                    }
                }
            }
        };
        let key = key.wrapping_key();
        let check_value = key.check_value();
        if state.current.1.accepts(&check_value) {
            return Err(StorageError::Conflict(Conflict::NextKeyMissing));
        }
        let row = KeyRow {
            version: state.current.0 + 1,
            check_value,
        };
        Ok(Some((row, key)))
    }

    /// The database is about to name it, beside the one before. Gives what [`Self::take_back`]
    /// takes if that fails.
    pub fn began(&self, version: i64, key: WrappingKey) -> Before {
        let state = self.state();
        self.set(State {
            before: Some(state.current.clone()),
            current: (version, key),
        });
        Before(state)
    }

    pub fn take_back(&self, before: Before) {
        self.set(before.0);
    }

    /// The database does not name the key before any more.
    pub fn ended(&self) {
        let state = self.state();
        self.set(State {
            before: None,
            ..state
        });
        self.settle_files();
    }

    /// When only the next key is in force, it takes the place of the one before, which is kept
    /// under its version. What fails here is done at the next start: both keys are there.
    fn settle_files(&self) {
        let (KeySource::File(path), state) = (&self.source, self.state()) else {
            return;
        };
        if state.before.is_some() {
            return;
        }
        let (version, key) = state.current;
        let is_current = |path: &Path| {
            load(path)
                .ok()
                .flatten()
                .is_some_and(|found| key.accepts(&found.wrapping_key().check_value()))
        };
        let next = next_file(path);
        if is_current(path) || !is_current(&next) {
            return;
        }
        let kept = retired_file(path, version - 1);
        let settled = match fs::hard_link(path, &kept) {
            Err(error)
                if !matches!(
                    error.kind(),
                    io::ErrorKind::AlreadyExists | io::ErrorKind::NotFound
                ) =>
            {
                Err(error)
            }
            _ => fs::rename(&next, path).and_then(|()| sync_directory(path)),
        };
        if let Err(error) = settled {
            tracing::warn!(
                next = %next.display(),
                path = %path.display(),
                %error,
                "the operator key in force stays in its second file: it could not be moved"
            );
        }
    }
}

fn missing(source: &KeySource, candidates: &[OperatorKey], database: &str) -> StorageError {
    unusable(match source {
        KeySource::File(path) if candidates.is_empty() => format!(
            "the operator key {} is missing; without it {database} cannot be read",
            path.display()
        ),
        _ => format!("{database} was sealed with another operator key; nothing was changed"),
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn mode(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    fn refusal(result: Result<Wrapping, StorageError>) -> String {
        match result {
            Err(error) => error.to_string(),
            Ok(_) => panic!("not refused"),
        }
    }

    #[test]
    fn key_files_are_private_and_come_back() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("operator.key");
        assert!(load(&path).unwrap().is_none());
        let key = OperatorKey::generate();
        store(&path, &key).unwrap();
        assert_eq!(load(&path).unwrap().unwrap().text(), key.text());
        let found = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(found & 0o777, 0o600);
        for (open, refused) in [
            (0o400, false),
            (0o440, false),
            (0o640, false),
            (0o660, true),
            (0o604, true),
            (0o644, true),
            (0o602, true),
        ] {
            mode(&path, open);
            let loaded = load(&path);
            assert_eq!(loaded.is_err(), refused, "{open:o}");
            if let Err(error) = loaded {
                assert!(error.to_string().contains("chmod 600"), "{error}");
            }
        }
        mode(&path, 0o600);
        fs::write(&path, "short").unwrap();
        assert!(load(&path).unwrap_err().to_string().contains("64 hex"));
    }

    /// Every step of a rotation, and what a start after a crash behind it finds.
    #[test]
    fn every_step_of_a_rotation_leaves_an_installation_that_opens() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("operator.key");
        let source = KeySource::File(path.clone());
        let (wrapping, first) = Wrapping::create(&source).unwrap();
        let data = DataKey::generate("account:a");
        let (version, old) = wrapping.wrap(&data);
        assert_eq!(version, 1);
        let rows = [first.clone()];
        let reopened = |rows: &[KeyRow]| Wrapping::open(&source, rows, "db").unwrap();

        // The next key is written, and nothing names it: what asks for it again gets the same.
        let (second, key) = wrapping.next().unwrap().unwrap();
        assert!(next_file(&path).exists());
        let again = reopened(&rows);
        assert!(again.unwrap("account:a", &old).is_some());
        let (_, same) = again.next().unwrap().unwrap();
        assert!(same.accepts(&second.check_value));

        // The database names both.
        let before = wrapping.began(second.version, key.clone());
        wrapping.take_back(before);
        assert!(!wrapping.is_rotating());
        wrapping.began(second.version, key);
        assert!(wrapping.next().unwrap().is_none());
        let (version, new) = wrapping.wrap(&data);
        assert_eq!(version, 2);
        let rows = [first.clone(), second.clone()];
        for wrapping in [&wrapping, &reopened(&rows)] {
            assert!(wrapping.is_rotating());
            assert!(wrapping.unwrap("account:a", &old).is_some());
            assert!(wrapping.unwrap("account:a", &new).is_some());
        }

        // The database names only the new one; the files are not moved yet.
        let rows = [second];
        let again = reopened(&rows);
        assert!(again.unwrap("account:a", &new).is_some());
        assert!(again.unwrap("account:a", &old).is_none());
        assert!(!next_file(&path).exists());
        assert!(retired_file(&path, 1).exists());
        wrapping.ended();
        assert!(wrapping.unwrap("account:a", &new).is_some());
        assert!(reopened(&rows).unwrap("account:a", &new).is_some());
        // The key before is for backups only.
        let text = refusal(Wrapping::open(&source, std::slice::from_ref(&first), "db"));
        assert!(text.contains("another operator key"), "{text}");
        let retired = KeySource::File(retired_file(&path, 1));
        assert!(Wrapping::open(&retired, &[first], "db").is_ok());
    }

    #[test]
    fn a_given_key_goes_over_to_the_one_given_as_next() {
        let (key, next) = (OperatorKey::generate(), OperatorKey::generate());
        let alone = KeySource::Given(key.clone());
        let (wrapping, row) = Wrapping::create(&alone).unwrap();
        assert!(matches!(
            wrapping.next(),
            Err(StorageError::Conflict(Conflict::NextKeyMissing))
        ));
        let same = KeySource::GivenWithNext {
            key: key.clone(),
            next: key.clone(),
        };
        let wrapping = Wrapping::open(&same, std::slice::from_ref(&row), "db").unwrap();
        assert!(wrapping.next().is_err());
        let both = KeySource::GivenWithNext {
            key,
            next: next.clone(),
        };
        let wrapping = Wrapping::open(&both, &[row], "db").unwrap();
        let (row, _) = wrapping.next().unwrap().unwrap();
        assert!(next.wrapping_key().accepts(&row.check_value));
        // Afterwards the new one alone is enough.
        let alone = KeySource::Given(next);
        assert_eq!(Wrapping::open(&alone, &[row], "db").unwrap().version(), 2);
    }
}
