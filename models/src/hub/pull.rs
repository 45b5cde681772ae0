//! Downloading a model: which files, in which order, and the folder they end up in.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use super::cache::ModelFolder;
use super::client::{Client, Contents, Listing, Place};
use super::fetch::{Fetcher, asked, length};
use super::names::{INDEX, ModelName, WHOLE, check_revision, is_description, is_safe_path, matches};
use super::progress::{Report, Stage, Watcher};
use super::weights::shards;
use super::{HubError, Settings};

/// What is to be downloaded.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// `owner/model`.
    pub model: String,
    /// A branch, a tag or a commit; else `main`.
    pub revision: Option<String>,
    /// Patterns of file names, with `*` and `?`. Where there are none: what is needed to run the model.
    pub files: Vec<String>,
}

/// A model that has been downloaded.
#[derive(Clone, Debug)]
pub struct Pulled {
    /// The folder with its files.
    pub path: PathBuf,
    pub commit: String,
    pub files: usize,
    /// Bytes of all files.
    pub bytes: u64,
    /// Bytes that were received for it; the others were there.
    pub received: u64,
}

/// A file that is wanted, and what it must turn out to be.
struct Wanted {
    name: String,
    contents: Contents,
}

/// Downloads a model into the cache, or what is missing of it.
pub fn pull(settings: &Settings, request: &Request, watcher: &mut Watcher<'_>) -> Result<Pulled, HubError> {
    let model = ModelName::parse(&request.model)?;
    let revision = request.revision.as_deref().unwrap_or("main");
    check_revision(revision)?;
    let client = Client::new(settings);
    let mut report = Report::new(watcher);
    let place = Place { model: &model, revision };
    let listing = asked(settings, &settings.endpoint, Stage::Listing, &mut report, || client.list(place))?;
    check_list(&listing)?;
    let folder = ModelFolder::new(&settings.cache, &model);
    // All files of the same commit, even if the branch moves on meanwhile.
    let place = Place { model: &model, revision: &listing.commit };
    let mut pull = Pull {
        fetcher: Fetcher { settings, client: &client, folder: &folder, place },
        listing: &listing,
        report,
        pulled: Pulled {
            path: folder.snapshot(&listing.commit),
            commit: listing.commit.clone(),
            files: 0,
            bytes: 0,
            received: 0,
        },
    };
    if request.files.is_empty() {
        pull.model()?;
    } else {
        pull.matching(&request.files)?;
    }
    folder.set_reference(revision, &listing.commit)?;
    Ok(pull.pulled)
}

/// A download under way.
struct Pull<'a, 'w, 'f> {
    fetcher: Fetcher<'a>,
    listing: &'a Listing,
    report: Report<'w, 'f>,
    pulled: Pulled,
}

impl Pull<'_, '_, '_> {
    /// Downloads what is needed to run the model.
    fn model(&mut self) -> Result<(), HubError> {
        let has = |name: &str| self.listing.files.iter().any(|file| file.name == name);
        let no_weights = |fault| HubError::NoWeights { model: self.name(), fault };
        if !has("config.json") {
            return Err(no_weights("there is no config.json".to_owned()));
        }
        let mut names: Vec<_> = self.listing.files.iter().map(|file| file.name.as_str()).collect();
        names.retain(|name| is_description(name));
        if has(WHOLE) {
            names.push(WHOLE);
            return self.files(&names);
        }
        if !has(INDEX) {
            return Err(no_weights(other_weights(self.listing)));
        }
        // Some models have the same weights twice, whole and in parts under other names; the index says
        // which files belong together.
        names.push(INDEX);
        self.files(&names)?;
        let path = self.pulled.path.join(INDEX);
        let index = fs::read(&path).map_err(|error| HubError::file(&path, &error))?;
        let parts = shards(&index).map_err(|fault| HubError::File { path, fault })?;
        let parts: Vec<_> = parts.iter().map(String::as_str).collect();
        self.files(&parts)
    }

    /// Downloads the files that a user asks for.
    fn matching(&mut self, patterns: &[String]) -> Result<(), HubError> {
        let mut names: Vec<_> = self.listing.files.iter().map(|file| file.name.as_str()).collect();
        names.retain(|name| patterns.iter().any(|pattern| matches(pattern, name)));
        if names.is_empty() {
            let patterns = patterns.join(", ");
            return Err(HubError::NothingMatches { model: self.name(), patterns });
        }
        self.files(&names)
    }

    /// Downloads files, small ones first.
    fn files(&mut self, names: &[&str]) -> Result<(), HubError> {
        let names: BTreeSet<_> = names.iter().copied().collect();
        let mut wanted = vec![];
        for name in names {
            wanted.push(self.wanted(name)?);
        }
        wanted.sort_by_key(|file| file.contents.bytes);
        self.report.total += wanted.iter().map(|file| file.contents.bytes).sum::<u64>();
        for Wanted { name, contents } in &wanted {
            self.pulled.files += 1;
            self.pulled.bytes += contents.bytes;
            if length(&self.pulled.path.join(name)) == Some(contents.bytes) {
                self.report.done += contents.bytes;
                self.report.before += contents.bytes;
                continue;
            }
            self.pulled.received += self.fetcher.fetch(name, contents, &mut self.report)?;
            self.fetcher.folder.link(contents.checksum.as_str(), &self.pulled.commit, name)?;
        }
        Ok(())
    }

    /// What a file must turn out to be.
    fn wanted(&mut self, name: &str) -> Result<Wanted, HubError> {
        if !is_safe_path(name) {
            return Err(HubError::UnsafeFileName(name.to_owned()));
        }
        let Fetcher { settings, client, place, .. } = self.fetcher;
        let Some(listed) = self.listing.files.iter().find(|file| file.name == name) else {
            let revision = self.pulled.commit.clone();
            return Err(HubError::NoFile { model: self.name(), revision, file: name.to_owned() });
        };
        let contents = match &listed.contents {
            Some(contents) => contents.clone(),
            None => asked(settings, &client.address(place, name), Stage::Listing, &mut self.report, || {
                client.contents(place, name)
            })?,
        };
        Ok(Wanted { name: name.to_owned(), contents })
    }

    fn name(&self) -> String {
        self.fetcher.place.model.as_str().to_owned()
    }
}

/// What there is instead of weights that can be read.
pub(super) fn other_weights(listing: &Listing) -> String {
    const ENDINGS: [&str; 8] = [".safetensors", ".gguf", ".bin", ".pt", ".pth", ".onnx", ".h5", ".msgpack"];
    let names = listing.files.iter().map(|file| file.name.as_str());
    let others: Vec<_> =
        names.filter(|name| ENDINGS.iter().any(|ending| name.ends_with(ending))).take(4).collect();
    match others.as_slice() {
        [] => format!("there is neither {WHOLE} nor {INDEX}"),
        others => format!("there is neither {WHOLE} nor {INDEX}, but {}", others.join(", ")),
    }
}

/// A server that names files outside of the model's folder is not to be trusted with any.
pub(super) fn check_list(listing: &Listing) -> Result<(), HubError> {
    let outside =
        |name: &str| name.starts_with(['/', '\\']) || name.split(['/', '\\']).any(|part| part == "..");
    match listing.files.iter().find(|file| outside(&file.name)) {
        Some(file) => Err(HubError::UnsafeFileName(file.name.clone())),
        None => Ok(()),
    }
}
