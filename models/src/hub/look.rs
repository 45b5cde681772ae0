//! Looking at a model on the server before anything of it is kept: what it is, and how much would be downloaded.

use std::collections::BTreeSet;

use super::client::{Client, Failure, Listing, Place};
use super::fetch::asked;
use super::names::{INDEX, ModelName, WHOLE, check_revision, is_description, is_safe_path};
use super::progress::{Report, Stage, Watcher};
use super::pull::{Request, check_list, other_weights};
use super::weights::shards;
use super::{HubError, Settings};
use crate::config::Config;

/// Largest file that is read into memory: an index of the largest models has a few megabytes.
const LARGEST_FILE: u64 = 64 << 20;

/// A model that a server offers.
#[derive(Clone, Debug, PartialEq)]
pub struct Offer {
    /// `owner/model`.
    pub model: String,
    pub commit: String,
    pub config: Config,
    /// Bytes of all files that are needed to run it; none where the server does not say.
    pub bytes: Option<u64>,
}

/// Asks a server what a model is. Nothing is written; of the request, the patterns of files say nothing here.
pub fn look(settings: &Settings, request: &Request, watcher: &mut Watcher<'_>) -> Result<Offer, HubError> {
    let model = ModelName::parse(&request.model)?;
    let revision = request.revision.as_deref().unwrap_or("main");
    check_revision(revision)?;
    let client = Client::new(settings);
    let mut report = Report::new(watcher);
    let place = Place { model: &model, revision };
    let listing = asked(settings, &settings.endpoint, Stage::Listing, &mut report, || client.list(place))?;
    check_list(&listing)?;
    // All files of the same commit, even if the branch moves on meanwhile.
    let place = Place { model: &model, revision: &listing.commit };
    let mut read = |file: &str| {
        let address = client.address(place, file);
        let text =
            asked(settings, &address, Stage::Listing, &mut report, || read_text(&client, place, file))?;
        Ok::<_, HubError>((address, text))
    };
    let has = |name: &str| listing.files.iter().any(|file| file.name == name);
    let no_weights = |fault: String| HubError::NoWeights { model: model.as_str().to_owned(), fault };
    if !has("config.json") {
        return Err(no_weights("there is no config.json".to_owned()));
    }
    let mut names: BTreeSet<String> =
        listing.files.iter().map(|file| file.name.clone()).filter(|name| is_description(name)).collect();
    if has(WHOLE) {
        names.insert(WHOLE.to_owned());
    } else if has(INDEX) {
        let (address, index) = read(INDEX)?;
        names.extend(
            shards(index.as_bytes()).map_err(|fault| HubError::Answer { address: address.clone(), fault })?,
        );
        names.insert(INDEX.to_owned());
    } else {
        return Err(no_weights(other_weights(&listing)));
    }
    let (address, config) = read("config.json")?;
    let config = Config::parse(&config, None)
        .map_err(|error| HubError::Answer { address, fault: error.to_string() })?;
    let bytes = bytes_of(&listing, &names);
    Ok(Offer { model: model.as_str().to_owned(), commit: listing.commit, config, bytes })
}

/// Bytes of some files, where the list tells those of all.
fn bytes_of(listing: &Listing, names: &BTreeSet<String>) -> Option<u64> {
    let bytes = |name: &String| {
        let file = listing.files.iter().find(|file| file.name == *name)?;
        Some(file.contents.as_ref()?.bytes)
    };
    names.iter().map(bytes).try_fold(0_u64, |sum, bytes| sum.checked_add(bytes?))
}

/// The whole of a small file.
fn read_text(client: &Client<'_>, place: Place<'_>, file: &str) -> Result<String, Failure> {
    if !is_safe_path(file) {
        return Err(Failure::Final(HubError::UnsafeFileName(file.to_owned())));
    }
    let (mut body, _) = client.read(place, file, 0)?;
    let text = body.with_config().limit(LARGEST_FILE).read_to_string();
    text.map_err(|error| Failure::Passing { fault: error.to_string(), wait: None, connected: true })
}
