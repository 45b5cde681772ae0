//! The engine against a runner that is stepped by hand: whatever else goes on, a reply is the same.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may fail by panicking")]

mod queue;
mod tiny;

use std::sync::atomic::Ordering;

use inglenook::backend::Runner;
use inglenook::backend::sampling::Sampling;
use inglenook::engine::{Engine, EngineError, Event, FinishReason, Finished, Reply, Request};

use queue::Queue;
use tiny::{by_hand, options, plan, prompt, request, runner};

/// An engine whose runner works in `submit`, and one whose runner queues.
fn engines(pages: usize) -> [Engine; 2] {
    let (plan, options) = (plan(), options(pages));
    let queue: Box<dyn Runner> = Box::new(Queue::new(runner(&plan, &options)).0);
    [runner(&plan, &options), queue].map(|runner| Engine::start(runner, &options).unwrap())
}

/// All tokens of a reply and how it ended.
fn collect(reply: Reply) -> (Vec<u32>, Finished) {
    let mut tokens = vec![];
    for event in reply {
        match event {
            Event::Reading { .. } => {}
            Event::Token(token) => tokens.push(token.id),
            Event::DeviceLost(error) => panic!("{error}"),
            Event::DeviceRestored { .. } => panic!("no device was lost"),
            Event::Finished(finished) => return (tokens, finished),
            Event::Failed(error) => panic!("the reply failed: {error}"),
        }
    }
    panic!("the reply ended without an end")
}

#[test]
fn a_reply_is_what_a_runner_writes_by_itself() {
    for engine in engines(64) {
        let sampled = Sampling { temperature: 0.9, top_k: 50, seed: 11, ..Sampling::greedy() };
        for (len, sampling) in [(1, Sampling::greedy()), (60, Sampling::greedy()), (33, sampled)] {
            let request = Request { sampling: sampling.clone(), ..request(prompt(1, len), 20) };
            let (tokens, finished) = collect(engine.session().generate(request));
            assert_eq!(tokens, by_hand(&prompt(1, len), 20, &sampling));
            assert_eq!(finished.reason, FinishReason::MaxTokens);
            assert_eq!(finished.timings.generated_tokens, 20);
        }
    }
}

#[test]
fn replies_side_by_side_are_the_same_as_alone() {
    for engine in engines(256) {
        let prompts: Vec<_> = (0..12).map(|i| prompt(i, 5 + 9 * i as usize)).collect();
        let sessions: Vec<_> = prompts.iter().map(|_| engine.session()).collect();
        let replies: Vec<_> =
            sessions.iter().zip(&prompts).map(|(s, p)| s.generate(request(p.clone(), 16))).collect();
        for (reply, prompt) in replies.into_iter().zip(&prompts) {
            assert_eq!(collect(reply).0, by_hand(prompt, 16, &Sampling::greedy()));
        }
    }
}

#[test]
fn replies_that_fight_for_pages_all_finish_and_are_the_same() {
    // Four conversations of up to 60 tokens need 60 pages; there are 24.
    for engine in engines(24) {
        let prompts: Vec<_> = (0..4).map(|i| prompt(i, 30)).collect();
        let sessions: Vec<_> = prompts.iter().map(|_| engine.session()).collect();
        let replies: Vec<_> =
            sessions.iter().zip(&prompts).map(|(s, p)| s.generate(request(p.clone(), 30))).collect();
        for (reply, prompt) in replies.into_iter().zip(&prompts) {
            let (tokens, finished) = collect(reply);
            assert_eq!(finished.reason, FinishReason::MaxTokens);
            assert_eq!(tokens, by_hand(prompt, 30, &Sampling::greedy()));
        }
    }
}

#[test]
fn a_second_turn_reads_only_what_is_new() {
    for engine in engines(64) {
        let session = engine.session();
        let first = prompt(3, 50);
        let (reply, _) = collect(session.generate(request(first.clone(), 10)));
        let second = [first, reply, prompt(4, 7)].concat();
        let (tokens, finished) = collect(session.generate(request(second.clone(), 5)));
        // The last token of the reply was drawn but never computed, so it counts as new.
        assert_eq!(finished.timings.reused_tokens, 59);
        assert_eq!(tokens, by_hand(&second, 5, &Sampling::greedy()));
    }
}

#[test]
fn a_regenerated_reply_reads_one_token_and_an_edited_one_what_follows_the_edit() {
    for engine in engines(64) {
        let session = engine.session();
        let first = prompt(3, 50);
        let again = collect(session.generate(request(first.clone(), 10))).0;
        let (tokens, finished) = collect(session.generate(request(first.clone(), 10)));
        assert_eq!((finished.timings.reused_tokens, tokens), (49, again));
        let mut edited = first;
        edited[30] ^= 1;
        let (tokens, finished) = collect(session.generate(request(edited.clone(), 10)));
        assert_eq!(finished.timings.reused_tokens, 30);
        assert_eq!(tokens, by_hand(&edited, 10, &Sampling::greedy()));
    }
}

#[test]
fn branches_go_their_own_ways() {
    for engine in engines(64) {
        let session = engine.session();
        let first = prompt(9, 41);
        collect(session.generate(request(first.clone(), 1)));
        let branch = session.branch();
        let (left, right) = ([&first[..], &[1, 2]].concat(), [&first[..], &[3, 4]].concat());
        let replies =
            [session.generate(request(left.clone(), 12)), branch.generate(request(right.clone(), 12))];
        for (reply, prompt) in replies.into_iter().zip([left, right]) {
            let (tokens, finished) = collect(reply);
            assert_eq!(finished.timings.reused_tokens, 41);
            assert_eq!(tokens, by_hand(&prompt, 12, &Sampling::greedy()));
        }
    }
}

#[test]
fn stop_tokens_end_a_reply_and_are_not_part_of_it() {
    let prompt = prompt(2, 20);
    let written = by_hand(&prompt, 10, &Sampling::greedy());
    let stop = written[4];
    let expected = written.iter().position(|t| *t == stop).unwrap();
    let request = Request { stop_tokens: vec![stop], ..request(prompt, 10) };
    for engine in engines(64) {
        let (tokens, finished) = collect(engine.session().generate(request.clone()));
        assert_eq!(tokens, written[..expected]);
        assert_eq!(finished.reason, FinishReason::StopToken(stop));
    }
}

#[test]
fn a_cancelled_reply_ends_and_the_next_one_goes_on() {
    for engine in engines(64) {
        let session = engine.session();
        let mut reply = session.generate(request(prompt(1, 10), 200));
        let mut seen = 0;
        for event in reply.by_ref() {
            if matches!(event, Event::Token(_)) {
                seen += 1;
                break;
            }
        }
        assert_eq!(seen, 1);
        reply.cancel();
        let last = reply.by_ref().last();
        assert!(
            matches!(last, Some(Event::Finished(Finished { reason: FinishReason::Cancelled, .. }))),
            "{last:?}"
        );
        let (tokens, _) = collect(session.generate(request(prompt(1, 10), 3)));
        assert_eq!(tokens, by_hand(&prompt(1, 10), 3, &Sampling::greedy()));
    }
}

#[test]
fn a_conversation_that_fills_the_cache_ends_there() {
    for engine in engines(6) {
        assert_eq!(engine.context(), 24);
        let (tokens, finished) = collect(engine.session().generate(request(prompt(1, 20), 100)));
        assert_eq!(finished.reason, FinishReason::ContextFull);
        // 24 positions are stored and one more token is drawn from the last of them.
        assert_eq!(tokens.len(), 5);
        let mut reply = engine.session().generate(request(prompt(1, 25), 1));
        let event = reply.next();
        let too_long = matches!(event, Some(Event::Failed(EngineError::TooLong { tokens: 25, context: 24 })));
        assert!(too_long, "{event:?}");
    }
}

#[test]
fn mistaken_requests_are_refused_and_harm_nobody() {
    for engine in engines(64) {
        let session = engine.session();
        let failed = |request| match session.generate(request).last() {
            Some(Event::Failed(error)) => error.to_string(),
            other => panic!("{other:?}"),
        };
        assert!(failed(request(vec![], 1)).contains("nothing"));
        assert!(failed(request(vec![300], 1)).contains("vocabulary"));
        let bad = Request { sampling: Sampling { top_p: 0.0, ..Sampling::greedy() }, ..request(vec![1], 1) };
        assert!(failed(bad).contains("top-p"));
        let slow = session.generate(request(prompt(1, 30), 100));
        assert!(failed(request(vec![1], 1)).contains("already"));
        drop(slow);
        let (tokens, _) = collect(engine.session().generate(request(prompt(1, 10), 3)));
        assert_eq!(tokens, by_hand(&prompt(1, 10), 3, &Sampling::greedy()));
    }
}

#[test]
fn candidates_are_sorted_and_their_probabilities_add_up() {
    let request = Request { top_candidates: 300, ..request(prompt(1, 10), 2) };
    for engine in engines(64) {
        for event in engine.session().generate(request.clone()) {
            let Event::Token(token) = event else { continue };
            assert_eq!(token.candidates[0].id, token.id);
            assert!((token.candidates[0].log_probability - token.log_probability.unwrap()).abs() < 1e-6);
            assert!(token.candidates.windows(2).all(|w| w[0].log_probability >= w[1].log_probability));
            let sum: f64 = token.candidates.iter().map(|c| f64::from(c.log_probability).exp()).sum();
            assert!((sum - 1.0).abs() < 1e-4, "{sum}");
        }
    }
}

#[test]
fn a_runner_that_queues_always_has_the_next_step() {
    let (plan, options) = (plan(), options(64));
    let (queue, seen) = Queue::new(runner(&plan, &options));
    let engine = Engine::start(Box::new(queue), &options).unwrap();
    let (tokens, _) = collect(engine.session().generate(request(prompt(1, 60), 20)));
    assert_eq!(tokens, by_hand(&prompt(1, 60), 20, &Sampling::greedy()));
    let count = |counter: &std::sync::atomic::AtomicUsize| counter.load(Ordering::Relaxed);
    // Three chunks of the prompt, the last of which draws the first token; all others follow one that nobody
    // had read, and none is computed for nothing.
    assert_eq!((count(&seen.steps), count(&seen.after_unread)), (3 + 19, 19));
    // But for the first, each was submitted while another was on its way.
    assert_eq!(count(&seen.ahead), 3 + 19 - 1);
    // A token that ends a reply without having been announced costs one step.
    let stop = by_hand(&prompt(2, 20), 10, &Sampling::greedy())[0];
    let stopped = Request { stop_tokens: vec![stop], ..request(prompt(2, 20), 10) };
    assert!(collect(engine.session().generate(stopped)).0.is_empty());
    // A reply's end is told before the step too many is collected, so wait for another reply.
    collect(engine.session().generate(request(prompt(3, 1), 1)));
    assert_eq!(count(&seen.steps), 3 + 19 + 2 + 1);
}

#[test]
fn penalties_count_tokens_that_nobody_has_read() {
    let penalized = Sampling {
        temperature: 0.8,
        repetition_penalty: 1.3,
        presence_penalty: 0.5,
        frequency_penalty: 0.2,
        seed: 3,
        ..Sampling::greedy()
    };
    for window in [0, 1, 2, 64] {
        let [expected, queued] = engines(64).map(|engine| {
            let wanted = request(prompt(5, 30), 40);
            let wanted = Request { sampling: penalized.clone(), penalty_window: window, ..wanted };
            collect(engine.session().generate(wanted)).0
        });
        assert_eq!(expected, queued, "a window of {window}");
    }
}

#[test]
fn whatever_happens_while_steps_are_on_their_way_no_page_is_lost() {
    for engine in engines(24) {
        let mut state = 1_u32;
        let mut random = |below: u32| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) % below
        };
        let mut sessions = vec![engine.session()];
        for _ in 0..60 {
            let wanted = |seed: u32, len: u32, max: u32| Request {
                stop_tokens: (0..40).collect(),
                ..request(prompt(seed, 1 + len as usize), 1 + max as usize)
            };
            let asked: Vec<_> = (0..=random(3)).map(|_| (random(4), random(40), random(30))).collect();
            while sessions.len() < asked.len() {
                sessions.push(engine.session());
            }
            let mut replies: Vec<_> = sessions
                .iter()
                .zip(&asked)
                .map(|(session, (seed, len, max))| session.generate(wanted(*seed, *len, *max)))
                .collect();
            // Branched, cancelled and dropped in the middle of it.
            sessions.push(sessions[random(sessions.len() as u32) as usize].branch());
            if random(2) == 0 {
                replies[0].next();
                replies.swap_remove(0);
            }
            if random(2) == 0 {
                sessions.swap_remove(random(sessions.len() as u32) as usize);
            }
            for reply in replies {
                let ended = reply.last();
                assert!(
                    matches!(ended, Some(Event::Finished(_) | Event::Failed(EngineError::Busy))),
                    "{ended:?}"
                );
            }
        }
        drop(sessions);
        // All 24 pages are there for a reply that needs them, and what it reads there is its own.
        let (tokens, finished) = collect(engine.session().generate(request(prompt(9, 90), 100)));
        assert_eq!(finished.reason, FinishReason::ContextFull);
        assert_eq!(tokens, by_hand(&prompt(9, 90), 7, &Sampling::greedy()));
    }
}

#[test]
fn a_step_that_fails_on_its_way_fails_its_replies_and_no_others() {
    let (plan, options) = (plan(), options(64));
    let (queue, seen) = Queue::new(runner(&plan, &options));
    let engine = Engine::start(Box::new(queue), &options).unwrap();
    seen.fail_at.store(5, Ordering::Relaxed);
    let last = engine.session().generate(request(prompt(1, 10), 20)).last();
    assert!(matches!(last, Some(Event::Failed(EngineError::Backend(_)))), "{last:?}");
    let (tokens, _) = collect(engine.session().generate(request(prompt(1, 10), 20)));
    assert_eq!(tokens, by_hand(&prompt(1, 10), 20, &Sampling::greedy()));
}
