//! The library: models on this machine, what each would take and how fast it would be, and downloads.
//!
//! Everything that takes longer than a frame is a [`Job`]: looking through folders, reckoning, measuring how fast devices read
//! their memory, asking a hub, and downloading. [`Library::take`] takes what they report.

mod command;
mod download;
mod outlook;

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use inglenook::Device;
use inglenook::backend::format::CacheFormat;
use inglenook::model::WeightChoice;
use inglenook::models::hub::library::{LocalModel, ModelState, list_in};
use inglenook::models::hub::{HubError, Offer, Progress, Request, Settings, look};
use inglenook::verdict::remembered;

use super::job::Job;
pub(crate) use command::LibraryCommand;
pub(crate) use download::{Doing, Download, End};
pub(crate) use outlook::{Cell, FormatOutlook, Held, Outlook, Subject, Terms, is_usual, speed_name};

/// What was reckoned, or why it could not be.
pub(crate) type Reckoned = Result<Outlook, String>;

/// The state of the page of models.
pub(crate) struct Library {
    /// The model that comes with the program, where it lies; it comes first.
    pub(crate) built_in: Option<PathBuf>,
    /// None until somebody has looked.
    pub(crate) models: Option<Vec<LocalModel>>,
    /// Why some could not be looked for.
    pub(crate) faults: Vec<String>,
    /// The model that is looked at.
    pub(crate) chosen: Option<PathBuf>,
    pub(crate) weights: WeightChoice,
    pub(crate) cache: CacheFormat,
    pub(crate) context: Option<usize>,
    /// The device that it would be loaded on; none leaves the choice to us.
    pub(crate) device: Option<String>,
    pub(crate) offer: Option<Asked>,
    pub(crate) download: Option<Download>,
    /// What is being typed: a folder, or a name.
    pub(crate) typed: String,
    /// What is wrong with it.
    pub(crate) typed_fault: Option<String>,
    /// Why a device could not be measured.
    pub(crate) unmeasured: BTreeMap<String, String>,
    /// Where downloads come from and go; without any, as the environment says.
    pub(crate) hub: Option<Settings>,
    outlooks: Vec<(Subject, Reckoned)>,
    scan: Option<Job<Scanned>>,
    reckoning: Option<Job<(Subject, Reckoned)>>,
    /// What is being reckoned, or was.
    asked: Option<(Vec<Subject>, Terms)>,
    measuring: Option<Job<(String, Result<f64, String>)>>,
    forgetting: Option<Job<Result<(), String>>>,
}

impl Default for Library {
    fn default() -> Self {
        Self {
            built_in: None,
            models: None,
            faults: vec![],
            chosen: None,
            weights: WeightChoice::Auto,
            cache: CacheFormat::F16,
            context: None,
            device: None,
            offer: None,
            download: None,
            typed: String::new(),
            typed_fault: None,
            unmeasured: BTreeMap::new(),
            hub: None,
            outlooks: vec![],
            scan: None,
            reckoning: None,
            asked: None,
            measuring: None,
            forgetting: None,
        }
    }
}

/// A model of the hub that was asked for.
pub(crate) struct Asked {
    pub(crate) name: String,
    /// None as long as the hub has not answered.
    pub(crate) answer: Option<Result<Arc<Offer>, String>>,
    job: Job<Result<Offer, String>>,
}

/// What was found in folders, and what could not be looked into.
type Scanned = (Vec<LocalModel>, Vec<String>);

/// What the state of the window has to follow.
#[derive(Debug, Default)]
pub(crate) struct Changed {
    /// A download has ended: well, or for this reason.
    pub(crate) downloaded: Option<(String, End)>,
    /// Devices that were measured.
    pub(crate) speeds: Vec<(String, f64)>,
    /// What is known of kernels was forgotten, or could not be.
    pub(crate) forgotten: Option<Result<(), String>>,
}

impl Library {
    /// Whether folders are being looked through.
    pub(crate) const fn is_looking(&self) -> bool {
        self.scan.is_some()
    }

    pub(crate) const fn is_measuring(&self) -> bool {
        self.measuring.is_some()
    }

    /// What is known of a model's chances here.
    pub(crate) fn outlook(&self, subject: &Subject) -> Option<&Reckoned> {
        self.outlooks.iter().find(|(of, _)| of == subject).map(|(_, reckoned)| reckoned)
    }

    /// Where downloads come from and go.
    pub(crate) fn hub(&self) -> Result<Settings, HubError> {
        self.hub.clone().map_or_else(Settings::from_environment, Ok)
    }

    /// Looks through the cache of downloads and through folders.
    pub(crate) fn look(&mut self, ctx: &egui::Context, folders: Vec<PathBuf>) {
        let (hub, built_in) = (self.hub(), self.built_in.clone());
        let started = Job::start(ctx, "library", move |reporter| {
            let mut faults = vec![];
            let mut models: Vec<LocalModel> = vec![];
            match hub {
                Ok(hub) => match list_in(&hub.cache, &[]) {
                    Ok(found) => models.extend(found),
                    Err(error) => faults.push(error.to_string()),
                },
                Err(error) => faults.push(error.to_string()),
            }
            // One by one: a folder that is gone says nothing of the others.
            for folder in built_in.iter().cloned().chain(folders) {
                match list_in(Path::new(""), std::slice::from_ref(&folder)) {
                    Ok(found) if found.is_empty() => {
                        faults.push(format!("{}: there is no model in it", folder.display()));
                    }
                    Ok(found) => models.extend(found),
                    Err(error) => faults.push(error.to_string()),
                }
            }
            let place = |model: &LocalModel| {
                let after = built_in.as_deref() != Some(model.path.as_path());
                (after, model.name.clone(), model.path.clone())
            };
            models.sort_by_cached_key(place);
            models.dedup_by(|a, b| a.path == b.path);
            reporter.tell((models, faults));
        });
        match started {
            Ok(job) => self.scan = Some(job),
            Err(error) => self.faults = vec![error.to_string()],
        }
    }

    /// Asks the hub for a model.
    pub(crate) fn ask(&mut self, ctx: &egui::Context, name: &str) {
        let (hub, request) = (self.hub(), Request { model: name.to_owned(), ..Request::default() });
        let started = Job::start(ctx, "hub", move |reporter| {
            let mut watch = |_: &Progress<'_>| {
                if reporter.is_cancelled() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            };
            let offer = hub.and_then(|hub| look(&hub, &request, &mut watch));
            reporter.tell(offer.map_err(|error| error.to_string()));
        });
        match started {
            Ok(job) => self.offer = Some(Asked { name: name.to_owned(), answer: None, job }),
            Err(error) => self.typed_fault = Some(error.to_string()),
        }
    }

    /// Downloads a model, or the rest of one.
    pub(crate) fn download(&mut self, ctx: &egui::Context, model: String) {
        let started = self
            .hub()
            .map_err(|error| error.to_string())
            .and_then(|hub| Download::start(ctx, hub, model).map_err(|error| error.to_string()));
        match started {
            Ok(download) => self.download = Some(download),
            Err(fault) => self.typed_fault = Some(fault),
        }
    }

    /// Measures how fast devices read their memory, one after another.
    pub(crate) fn measure(&mut self, ctx: &egui::Context, devices: Vec<Device>) {
        let started = Job::start(ctx, "measure", move |reporter| {
            for device in devices {
                let speed = device.backend.measure_bandwidth(&device.info.id);
                let speed = speed.map_err(|error| error.to_string());
                if !reporter.tell((speed_name(&device.info), speed)) {
                    break;
                }
            }
        });
        match started {
            Ok(job) => self.measuring = Some(job),
            Err(error) => self.faults.push(error.to_string()),
        }
    }

    /// Forgets which kernels are right. A check that is being made holds on to what is known until it ends.
    pub(crate) fn forget(&mut self, ctx: &egui::Context) {
        let started = Job::start(ctx, "forget", |reporter| {
            reporter.tell(remembered().forget());
        });
        match started {
            Ok(job) => self.forgetting = Some(job),
            Err(error) => self.faults.push(error.to_string()),
        }
    }

    /// Takes what has been reported.
    pub(crate) fn take(&mut self) -> Changed {
        let mut changed = Changed::default();
        if let Some(scan) = &mut self.scan {
            if let Some((models, faults)) = scan.poll() {
                (self.models, self.faults) = (Some(models), faults);
            }
            if scan.has_ended() {
                self.scan = None;
            }
        }
        changed.forgotten = self.forgetting.as_mut().and_then(Job::poll);
        if let Some(asked) = &mut self.offer
            && let Some(answer) = asked.job.poll()
        {
            asked.answer = Some(answer.map(Arc::new));
        }
        if let Some(download) = &mut self.download
            && download.take()
        {
            changed.downloaded = download.end.clone().map(|end| (download.model.clone(), end));
        }
        if let Some(job) = &mut self.measuring {
            while let Some((name, speed)) = job.poll() {
                match speed {
                    Ok(speed) => {
                        self.unmeasured.remove(&name);
                        changed.speeds.push((name, speed));
                    }
                    Err(fault) => _ = self.unmeasured.insert(name, fault),
                }
            }
            if job.has_ended() {
                self.measuring = None;
            }
        }
        if let Some(job) = &mut self.reckoning {
            while let Some((subject, reckoned)) = job.poll() {
                match self.outlooks.iter_mut().find(|(of, _)| *of == subject) {
                    Some((_, known)) => *known = reckoned,
                    None => self.outlooks.push((subject, reckoned)),
                }
            }
            if job.has_ended() {
                self.reckoning = None;
            }
        }
        changed
    }

    /// Reckons with all models that are shown, unless that was done on the same terms.
    pub(crate) fn reckon(&mut self, ctx: &egui::Context, terms: Terms) {
        let subjects = self.subjects();
        let question = (subjects, terms);
        if question.0.is_empty() || self.asked.as_ref() == Some(&question) {
            return;
        }
        let (subjects, terms) = question.clone();
        // What is known stays until it is known better.
        self.outlooks.retain(|(subject, _)| subjects.contains(subject));
        let started = Job::start(ctx, "reckon", move |reporter| {
            for subject in subjects {
                let reckoned =
                    outlook::outlook(&subject, &terms).map_err(|error| crate::failure::message(&error));
                if !reporter.tell((subject, reckoned)) {
                    break;
                }
            }
        });
        match started {
            Ok(job) => (self.reckoning, self.asked) = (Some(job), Some(question)),
            Err(error) => self.faults = vec![error.to_string()],
        }
    }

    /// What there is to reckon with, what is looked at first.
    fn subjects(&self) -> Vec<Subject> {
        let offer = self.offer.as_ref().and_then(|asked| asked.answer.as_ref()?.as_ref().ok());
        let offer = offer.map(|offer| Subject::Offer(Arc::clone(offer)));
        let ready = self.models.iter().flatten().filter(|model| model.state == ModelState::Supported);
        let mut folders: Vec<&Path> = ready.map(|model| model.path.as_path()).collect();
        folders.sort_by_key(|folder| self.chosen.as_deref() != Some(*folder));
        offer
            .into_iter()
            .chain(folders.into_iter().map(|folder| Subject::Folder(folder.to_owned())))
            .collect()
    }
}
