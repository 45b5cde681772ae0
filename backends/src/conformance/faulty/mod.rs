//! Backends that are wrong on purpose: a check that cannot fail is worth nothing.
//!
//! Each is the oracle with one thing broken: a result, a weight, an attribute of the plan, the batch, or
//! its manners. The conformance tests must agree with the oracle itself to the last bit, and go red for
//! each of these.

use std::sync::Arc;

use crate::cpu::reference::ReferenceBackend;
use crate::format::PackedMatrix;
use crate::plan::{Footprint, Op, Plan, RopeSpec};
use crate::{
    Backend, BackendError, Batch, DeviceId, DeviceInfo, MatrixRequest, Numerics, PageCopy, PrepareOptions,
    Profile, ProgressFn, Runner, StepOutput, Ticket, Unavailable, WeightError, WeightSource,
};

mod tests;

/// What is broken.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Fault {
    pub(crate) output: Option<fn(&mut StepOutput, u64)>,
    pub(crate) weights: Option<fn(PackedMatrix) -> PackedMatrix>,
    pub(crate) vectors: Option<fn(&mut Vec<f32>)>,
    pub(crate) plan: Option<fn(&mut Op)>,
    pub(crate) rope: Option<fn(&mut RopeSpec)>,
    pub(crate) batch: Option<fn(&mut Batch)>,
    pub(crate) ignores_copies: bool,
    pub(crate) refuses: bool,
    pub(crate) panics: bool,
    pub(crate) numerics: Option<Numerics>,
}

/// The oracle with a fault; it claims to compute in f32.
pub(crate) struct Faulty(pub(crate) Fault);

impl Backend for Faulty {
    fn name(&self) -> &'static str {
        "reference"
    }

    fn devices(&self) -> Vec<DeviceInfo> {
        let mut devices = ReferenceBackend.devices();
        devices.iter_mut().flat_map(|d| &mut d.tiers).for_each(|tier| {
            tier.numerics = self.0.numerics.unwrap_or(Numerics::F32);
        });
        devices
    }

    fn unavailable(&self) -> Vec<Unavailable> {
        vec![Unavailable { what: "a GPU".to_owned(), reason: "none is plugged in".to_owned() }]
    }

    fn measure_bandwidth(&self, device: &DeviceId) -> Result<f64, BackendError> {
        ReferenceBackend.measure_bandwidth(device)
    }

    fn revision(&self) -> String {
        "faulty".to_owned()
    }

    fn prepare(
        &self,
        device: &DeviceId,
        plan: Arc<Plan>,
        weights: &dyn WeightSource,
        options: &PrepareOptions,
        progress: &mut ProgressFn<'_>,
    ) -> Result<Box<dyn Runner>, BackendError> {
        let mut changed = (*plan).clone();
        if let Some(change) = self.0.plan {
            changed.nodes.iter_mut().for_each(|node| change(&mut node.op));
        }
        if let Some(change) = self.0.rope {
            changed.ropes.iter_mut().for_each(change);
        }
        let weights = FaultyWeights { inner: weights, fault: self.0 };
        let inner = ReferenceBackend.prepare(device, Arc::new(changed), &weights, options, progress)?;
        Ok(Box::new(FaultyRunner { inner, fault: self.0, steps: 0 }))
    }
}

struct FaultyWeights<'a> {
    inner: &'a dyn WeightSource,
    fault: Fault,
}

impl WeightSource for FaultyWeights<'_> {
    fn matrix(&self, request: &MatrixRequest<'_>) -> Result<PackedMatrix, WeightError> {
        let matrix = self.inner.matrix(request)?;
        Ok(self.fault.weights.map_or(matrix.clone(), |change| change(matrix)))
    }

    fn vector(&self, tensor: &str, len: usize) -> Result<Vec<f32>, WeightError> {
        let mut vector = self.inner.vector(tensor, len)?;
        self.fault.vectors.iter().for_each(|change| change(&mut vector));
        Ok(vector)
    }
}

struct FaultyRunner {
    inner: Box<dyn Runner>,
    fault: Fault,
    steps: u64,
}

impl Runner for FaultyRunner {
    fn submit(&mut self, batch: &Batch) -> Result<Ticket, BackendError> {
        assert!(!self.fault.panics, "on purpose");
        if self.fault.refuses {
            return Err(BackendError::DeviceLost { device: "it".into(), reason: "on purpose".into() });
        }
        let mut batch = batch.clone();
        self.fault.batch.iter().for_each(|change| change(&mut batch));
        self.inner.submit(&batch)
    }

    fn collect(&mut self, ticket: Ticket) -> Result<StepOutput, BackendError> {
        let mut output = self.inner.collect(ticket)?;
        self.fault.output.iter().for_each(|change| change(&mut output, self.steps));
        self.steps += 1;
        Ok(output)
    }

    fn copy_pages(&mut self, copies: &[PageCopy]) -> Result<(), BackendError> {
        if self.fault.ignores_copies { Ok(()) } else { self.inner.copy_pages(copies) }
    }

    fn set_profiling(&mut self, on: bool) {
        self.inner.set_profiling(on);
    }

    fn profile(&self) -> Option<Profile> {
        self.inner.profile()
    }

    fn memory(&self) -> Footprint {
        self.inner.memory()
    }

    fn numerics(&self) -> Numerics {
        Numerics::F32
    }
}
