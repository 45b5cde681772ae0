//! One file from the server into the cache: what is there already is kept, a dropped connection is taken
//! up again, and the file appears under its name only when its checksum is right.

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::cache::{ModelFolder, make_parent, with_ending};
use super::checksum::Summer;
use super::client::{Client, Contents, Failure, Place};
use super::progress::{Report, Stage};
use super::{HubError, Settings};

/// Bytes between two reports.
const PIECE: usize = 256 << 10;

/// No pause is longer, whatever a server asks for.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// Attempts where there is no server to be heard: the user may just be offline, and wants to know.
const ATTEMPTS_UNHEARD: u32 = 2;

/// Brings files of one commit.
#[derive(Debug)]
pub(super) struct Fetcher<'a> {
    pub(super) settings: &'a Settings,
    pub(super) client: &'a Client<'a>,
    pub(super) folder: &'a ModelFolder,
    pub(super) place: Place<'a>,
}

/// A file that is arriving.
struct Arriving<'a> {
    name: &'a str,
    contents: &'a Contents,
    path: PathBuf,
    file: File,
    /// Bytes that are there.
    have: u64,
    sum: Summer,
}

impl Fetcher<'_> {
    /// Brings a file into the cache, unless it is there. Returns the bytes that were received.
    pub(super) fn fetch(
        &self,
        name: &str,
        contents: &Contents,
        report: &mut Report<'_, '_>,
    ) -> Result<u64, HubError> {
        let blob = self.folder.blob(contents.checksum.as_str());
        make_parent(&blob)?;
        let _lock = loop {
            if let Some(lock) = self.folder.lock(contents.checksum.as_str())? {
                break lock;
            }
            report.pause(Duration::from_millis(200), Stage::Another { file: name })?;
        };
        if length(&blob) == Some(contents.bytes) {
            report.done += contents.bytes;
            report.before += contents.bytes;
            return Ok(0);
        }
        let mut arriving = Arriving::open(name, contents, &blob)?;
        let counted = report.done;
        arriving.take_up(report)?;
        let mut resumed = arriving.have > 0;
        report.before += arriving.have;
        let mut received = 0;
        loop {
            received += self.receive(&mut arriving, counted, report)?;
            let found = arriving.sum.clone().finish();
            if found == contents.checksum.as_str() {
                arriving.finish(&blob)?;
                return Ok(received);
            }
            if resumed {
                // What was left may have been damaged, or by a program that fills files in another order.
                arriving.restart()?;
                report.back_to(counted);
                resumed = false;
                continue;
            }
            let Arriving { path, .. } = arriving;
            fs::remove_file(&path).map_err(|error| HubError::file(&path, &error))?;
            let expected = contents.checksum.to_string();
            return Err(HubError::WrongChecksum { file: name.to_owned(), expected, found });
        }
    }

    /// Receives what is missing, however often the connection drops, as long as each time brings more.
    fn receive(
        &self,
        arriving: &mut Arriving<'_>,
        counted: u64,
        report: &mut Report<'_, '_>,
    ) -> Result<u64, HubError> {
        let (mut received, mut furthest, mut attempts) = (0, arriving.have, 0);
        while arriving.have < arriving.contents.bytes {
            let outcome = self.stream(arriving, counted, &mut received, report);
            let (fault, wait) = match outcome {
                Ok(()) => continue,
                Err(Failure::Final(error)) => return Err(error),
                Err(Failure::Passing { fault, wait, .. }) => (fault, wait),
            };
            // A server that always starts over and always drops brings nothing new.
            attempts = if arriving.have > furthest { 1 } else { attempts + 1 };
            furthest = furthest.max(arriving.have);
            let file = arriving.name;
            if attempts >= self.settings.attempts.max(1) {
                let fault = format!("{fault}, at {}", self.client.address(self.place, file));
                return Err(HubError::Interrupted { file: file.to_owned(), attempts, fault });
            }
            let pause = pause(self.settings.first_pause, attempts, wait);
            report.pause(pause, Stage::Pausing { file, attempt: attempts + 1, fault: &fault })?;
        }
        Ok(received)
    }

    /// Receives over one connection.
    fn stream(
        &self,
        arriving: &mut Arriving<'_>,
        counted: u64,
        received: &mut u64,
        report: &mut Report<'_, '_>,
    ) -> Result<(), Failure> {
        let stage = Stage::Receiving { file: arriving.name };
        report.tell(stage).map_err(Failure::Final)?;
        let (body, start) = self.client.read(self.place, arriving.name, arriving.have)?;
        if start != arriving.have {
            arriving.restart().map_err(Failure::Final)?;
            report.back_to(counted);
        }
        let mut reader = body.into_reader();
        let mut piece = vec![0; PIECE];
        while arriving.have < arriving.contents.bytes {
            let wanted = (arriving.contents.bytes - arriving.have).min(PIECE as u64) as usize;
            let passing = |fault| Failure::Passing { fault, wait: None, connected: true };
            let count = reader.read(&mut piece[..wanted]).map_err(|error| passing(error.to_string()))?;
            if count == 0 {
                return Err(passing("the connection was closed".to_owned()));
            }
            arriving.add(&piece[..count]).map_err(Failure::Final)?;
            *received += count as u64;
            report.done += count as u64;
            report.tell(stage).map_err(Failure::Final)?;
        }
        Ok(())
    }
}

impl<'a> Arriving<'a> {
    /// Opens what an earlier attempt has left, or begins.
    fn open(name: &'a str, contents: &'a Contents, blob: &Path) -> Result<Self, HubError> {
        let path = with_ending(blob, "incomplete");
        let file = File::options().read(true).write(true).create(true).truncate(false).open(&path);
        let file = file.map_err(|error| HubError::file(&path, &error))?;
        let sum = Summer::new(&contents.checksum, contents.bytes);
        Ok(Self { name, contents, path, file, have: 0, sum })
    }

    /// Adds up what is there.
    fn take_up(&mut self, report: &mut Report<'_, '_>) -> Result<(), HubError> {
        if length(&self.path).is_none_or(|length| length > self.contents.bytes) {
            return self.restart();
        }
        let mut piece = vec![0; PIECE];
        loop {
            let count = self.file.read(&mut piece).map_err(|error| HubError::file(&self.path, &error))?;
            if count == 0 {
                return Ok(());
            }
            self.sum.add(&piece[..count]);
            self.have += count as u64;
            report.done += count as u64;
            report.tell(Stage::Checking { file: self.name })?;
        }
    }

    fn add(&mut self, bytes: &[u8]) -> Result<(), HubError> {
        self.file.write_all(bytes).map_err(|error| HubError::file(&self.path, &error))?;
        self.sum.add(bytes);
        self.have += bytes.len() as u64;
        Ok(())
    }

    /// Begins again with nothing.
    fn restart(&mut self) -> Result<(), HubError> {
        let cleared = self.file.set_len(0).and_then(|()| self.file.seek(SeekFrom::Start(0)));
        cleared.map_err(|error| HubError::file(&self.path, &error))?;
        self.have = 0;
        self.sum = Summer::new(&self.contents.checksum, self.contents.bytes);
        Ok(())
    }

    /// Gives the file its name.
    fn finish(self, blob: &Path) -> Result<(), HubError> {
        // Else a power cut could leave the name without the contents.
        self.file.sync_all().map_err(|error| HubError::file(&self.path, &error))?;
        drop(self.file);
        fs::rename(&self.path, blob).map_err(|error| HubError::file(blob, &error))
    }
}

/// Asks something small, again where that may help.
pub(super) fn asked<T>(
    settings: &Settings,
    address: &str,
    stage: Stage<'_>,
    report: &mut Report<'_, '_>,
    mut ask: impl FnMut() -> Result<T, Failure>,
) -> Result<T, HubError> {
    let mut attempts = 0;
    loop {
        report.tell(stage)?;
        let (fault, wait, connected) = match ask() {
            Ok(answer) => return Ok(answer),
            Err(Failure::Final(error)) => return Err(error),
            Err(Failure::Passing { fault, wait, connected }) => (fault, wait, connected),
        };
        attempts += 1;
        let most = if connected { settings.attempts } else { ATTEMPTS_UNHEARD.min(settings.attempts) };
        if attempts >= most {
            return Err(HubError::Unreachable { address: address.to_owned(), fault });
        }
        report.pause(pause(settings.first_pause, attempts, wait), stage)?;
    }
}

/// How long to wait after a number of failures.
fn pause(first: Duration, attempts: u32, asked_for: Option<Duration>) -> Duration {
    let doubled = first.saturating_mul(1 << attempts.saturating_sub(1).min(16));
    asked_for.unwrap_or_default().max(doubled).min(LONGEST_PAUSE)
}

/// A file's length; none where there is no file.
pub(super) fn length(path: &Path) -> Option<u64> {
    fs::metadata(path).ok().filter(fs::Metadata::is_file).map(|metadata| metadata.len())
}
