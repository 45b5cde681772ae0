//! Running a stranger's program where it cannot overflow the stack.

use std::thread;

use super::TemplateError;

/// Memory that is only set aside, not used, unless a template nests to the limits of its size and fuel: the
/// engine descends by recursion into chains of operators and, when it prints or drops them, into nested values.
/// A level of those takes eight instructions to build and about 500 bytes to print, so this goes with the fuel.
const STACK: usize = 1 << 29;

/// Runs `work` on a thread with a stack of its own that no template can exhaust.
pub(super) fn run<T: Send>(
    work: impl FnOnce() -> Result<T, TemplateError> + Send,
) -> Result<T, TemplateError> {
    let broken = |message: String| TemplateError::Engine { message };
    thread::scope(|scope| {
        let builder = thread::Builder::new().name("chat template".into()).stack_size(STACK);
        let handle = builder.spawn_scoped(scope, work).map_err(|error| broken(error.to_string()))?;
        handle.join().unwrap_or_else(|_| Err(broken("the template engine panicked".into())))
    })
}
