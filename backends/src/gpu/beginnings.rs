//! Timing the nodes of a step by its beginnings.
//!
//! Launches that follow one another closely overlap: one begins before the one before has ended, or while its results are still on their way.
//! Clocks between them end that, and a step of short launches takes half as long again. So such a step is made a little longer at a time: each
//! of its beginnings has one node more than the one before, and what it takes longer is the node's time. All are made several times, one after
//! the other, so that whatever changes meanwhile changes neighbours alike. None of them draws a token: the step itself, which comes last, finds
//! all as it was.

use crate::plan::{Op, Plan};

/// How often each beginning is made at most.
const MOST_TURNS: usize = 5;
/// Seconds that all turns may take together. The launches of a step for which that is too little even once are so long that clocks between
/// them, which cost some microseconds, do not disturb it.
const MOST_SECONDS: f64 = 6.0;

/// The beginnings of a step, each by the number of its launches, of which there are ever more; the last is the step itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Beginnings {
    launches: Vec<usize>,
    /// For each node, how many launches there are up to its end.
    ends: Vec<usize>,
    /// How often each part is made.
    turns: usize,
}

impl Beginnings {
    /// Those of a plan's step, by the nodes that its launches belong to, in their order; the first may belong to none.
    pub(crate) fn new(plan: &Plan, launched: &[Option<usize>]) -> Self {
        let up_to = |node: Option<usize>| launched.partition_point(|other| *other <= node);
        let ends = (0..plan.nodes.len()).map(|node| up_to(Some(node))).collect();
        let draws = plan.nodes.iter().position(|node| matches!(node.op, Op::Sample(_)));
        Self::up_to(draws, up_to(None), ends)
    }

    /// Nodes from the first that draws a token on come together, in the last.
    fn up_to(draws: Option<usize>, before: usize, ends: Vec<usize>) -> Self {
        let whole = ends.last().copied().unwrap_or(before);
        let mut launches = vec![before];
        launches.extend(&ends[..draws.unwrap_or(ends.len())]);
        launches.retain(|count| *count < whole);
        launches.push(whole);
        launches.dedup();
        Self { launches, ends, turns: MOST_TURNS }
    }

    /// All but the step itself, by their launches.
    pub(crate) fn parts(&self) -> &[usize] {
        &self.launches[..self.launches.len() - 1]
    }

    /// Launches of the step itself.
    pub(crate) fn whole(&self) -> usize {
        self.launches.last().copied().unwrap_or(0)
    }

    /// The order in which all are made, by their place among the parts and then the step itself.
    pub(crate) fn order(&self) -> impl Iterator<Item = usize> {
        let parts = self.parts().len();
        (0..self.turns).flat_map(move |_| 0..parts).chain([parts])
    }

    /// How many are made: the most for a plan with so many nodes.
    pub(crate) const fn most_made(nodes: usize) -> usize {
        MOST_TURNS * (nodes + 1) + 1
    }

    /// Decides on the turns, where the longest part takes so many seconds; false where there is no time for one.
    pub(crate) fn take_turns(&mut self, longest: f64) -> bool {
        // On the average a part is half as long.
        let turn = longest * 0.5 * self.parts().len() as f64;
        self.turns =
            if turn > 0.0 { (MOST_SECONDS / turn).min(MOST_TURNS as f64) as usize } else { MOST_TURNS };
        self.turns > 0
    }

    /// The seconds of each node, by what was measured in [`Beginnings::order`].
    pub(crate) fn node_seconds(&self, measured: &[f64]) -> Vec<f64> {
        // A step is not shorter with a node than without it.
        let seconds = rising(&self.shortest(measured));
        // The shortest beginning that has so many launches: drawing nodes are all in the last.
        let up_to = |end: usize| {
            let place = self.launches.partition_point(|count| *count < end);
            seconds.get(place).or(seconds.last()).copied().unwrap_or(0.0)
        };
        let mut before = seconds.first().copied().unwrap_or(0.0);
        let added = self.ends.iter().map(|end| {
            let with = up_to(*end).max(before);
            let added = with - before;
            before = with;
            added
        });
        added.collect()
    }

    /// The time of each: the shortest of its turns, since whatever disturbs one makes it longer.
    fn shortest(&self, measured: &[f64]) -> Vec<f64> {
        let parts = self.parts().len();
        let of = |n: usize| measured.iter().skip(n).step_by(parts).take(self.turns).copied();
        let parts = (0..parts).map(|n| of(n).fold(f64::INFINITY, f64::min));
        parts.chain(measured.last().copied()).collect()
    }
}

/// The nearest numbers of which none is smaller than the one before: neighbours that are, all become their mean.
fn rising(numbers: &[f64]) -> Vec<f64> {
    // Means, and how many numbers each is of.
    let mut means: Vec<(f64, usize)> = vec![];
    for number in numbers {
        let (mut mean, mut count) = (*number, 1);
        while let Some((before, many)) = means.pop_if(|(before, _)| *before > mean) {
            mean = (mean * count as f64 + before * many as f64) / (count + many) as f64;
            count += many;
        }
        means.push((mean, count));
    }
    means.into_iter().flat_map(|(mean, count)| std::iter::repeat_n(mean, count)).collect()
}

#[cfg(test)]
#[allow(clippy::float_cmp, reason = "sums of small whole numbers and halves are exact")]
mod tests {
    use super::*;
    use crate::plan::PlanBuilder;

    #[test]
    fn each_beginning_has_a_node_more() {
        // A launch of no node; nodes of 1, 0, 2 and 1 launches, the last of which draws.
        let ends = || vec![2, 2, 4, 5];
        assert_eq!(Beginnings::up_to(Some(3), 1, ends()).launches, [1, 2, 4, 5]);
        assert_eq!(Beginnings::up_to(None, 1, ends()).launches, [1, 2, 4, 5]);
        assert_eq!(Beginnings::up_to(Some(2), 0, ends()).launches, [0, 2, 5]);
        assert_eq!(Beginnings::up_to(None, 3, vec![]).launches, [3]);
        let beginnings = Beginnings::up_to(Some(2), 0, ends());
        let order = beginnings.order().collect::<Vec<_>>();
        assert_eq!((order.len(), &order[..4], order[10]), (11, &[0, 1, 0, 1][..], 2));
        assert!(order.len() <= Beginnings::most_made(4));
    }

    #[test]
    fn launches_are_those_of_their_nodes() {
        let mut plan = PlanBuilder::new();
        let mut x = plan.input("x", 64);
        for _ in 0..3 {
            x = plan.scale(x, 2.0);
        }
        plan.tap(x);
        let plan = plan.finish().unwrap();
        // One of none; an input and three products, of which the second launches nothing and the last twice.
        let nodes = plan.nodes.len();
        let launched = [None, Some(nodes - 3), Some(nodes - 1), Some(nodes - 1)];
        let beginnings = Beginnings::new(&plan, &launched);
        assert_eq!(beginnings.ends[nodes - 3..], [2, 2, 4]);
        assert_eq!((beginnings.parts(), beginnings.whole()), (&[1, 2][..], 4));
    }

    /// What turns of all parts measure, and then the step.
    fn measured(turns: [&[f64]; MOST_TURNS], whole: f64) -> Vec<f64> {
        turns.iter().copied().flatten().copied().chain([whole]).collect()
    }

    #[test]
    fn a_node_takes_what_the_step_takes_longer_with_it() {
        let beginnings = Beginnings::up_to(Some(3), 1, vec![2, 2, 4, 5]);
        // Some were disturbed.
        let [good, first, third] = [&[1.0, 2.0, 5.0][..], &[4.0, 2.0, 5.5], &[1.5, 2.5, 9.0]];
        let turns = measured([first, good, third, third, first], 6.0);
        assert_eq!(beginnings.node_seconds(&turns), [1.0, 0.0, 3.0, 1.0]);
        // From the first that draws on, the first has it all.
        let drawing = Beginnings::up_to(Some(1), 1, vec![2, 4, 5]);
        assert_eq!(drawing.node_seconds(&measured([&[1.0, 2.0]; MOST_TURNS], 6.0)), [1.0, 4.0, 0.0]);
        // A step is not shorter with a node than without.
        let shorter = Beginnings::up_to(Some(1), 1, vec![2, 3]);
        assert_eq!(shorter.node_seconds(&measured([&[1.0, 3.0]; MOST_TURNS], 2.0)), [1.5, 0.0]);
        let all_at_once = Beginnings::up_to(None, 3, vec![]);
        assert_eq!(all_at_once.node_seconds(&[1.0]), [0.0; 0]);
    }

    #[test]
    fn what_falls_becomes_a_mean() {
        assert_eq!(rising(&[1.0, 4.0, 2.0, 6.0]), [1.0, 3.0, 3.0, 6.0]);
        assert_eq!(rising(&[1.0, 4.0, 3.0, 2.0, 1.0, 5.0]), [1.0, 2.5, 2.5, 2.5, 2.5, 5.0]);
        assert_eq!(rising(&[]), [0.0; 0]);
    }

    #[test]
    fn long_steps_take_fewer_turns() {
        let mut beginnings = Beginnings::up_to(None, 0, (1..=100).collect());
        for (longest, turns) in [(0.0, 5), (1e-3, 5), (0.05, 2), (0.1, 1), (0.13, 0)] {
            assert_eq!((beginnings.take_turns(longest), beginnings.turns), (turns > 0, turns), "{longest}");
        }
        beginnings.take_turns(0.1);
        let seconds: Vec<f64> = (1..=101).map(f64::from).collect();
        assert_eq!(beginnings.order().count(), 101);
        assert_eq!(beginnings.node_seconds(&seconds), [1.0; 100]);
    }
}
