//! Which probes, and which of their codes, are scanned in which round.

use super::stage::Shape;

/// Number of lists of a round, relative to those of all rounds before.
const GROWTH: usize = 4;

/// A round: probes, and offsets of their codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RoundPlan {
    pub(super) first: usize,
    pub(super) end: usize,
    pub(super) window: (u32, u32),
    /// Whether bounds may be used: if there are thresholds, which few codes meet.
    pub(super) may_bound: bool,
}

/// The rounds of a search.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Rounds(pub(super) Vec<RoundPlan>);

impl Rounds {
    /// Returns the rounds to try one after the other, until no candidate is lost: few rounds, and
    /// rounds that find at most as many candidates as there is room for. `longest` is the length of
    /// the longest list.
    pub(super) fn attempts(shape: &Shape, longest: u32) -> [Self; 2] {
        [Self::few(shape.nprobe, longest, shape.window()), Self::safe(shape.nprobe, longest, shape.window())]
    }

    /// The nearest list first, as many of its codes as there is room for, and then ever more lists.
    fn few(nprobe: usize, longest: u32, window: u32) -> Self {
        let mut rounds = vec![RoundPlan { first: 0, end: 1, window: (0, window), may_bound: false }];
        if longest > window {
            rounds.push(RoundPlan { first: 0, end: 1, window: (window, longest), may_bound: true });
        }
        let mut first = 1;
        while first < nprobe {
            let end = (first * GROWTH).min(nprobe);
            rounds.push(RoundPlan { first, end, window: (0, longest), may_bound: true });
            first = end;
        }
        Self(rounds)
    }

    /// One list after the other, in windows.
    pub(super) fn safe(nprobe: usize, longest: u32, window: u32) -> Self {
        let windows = (0..longest.max(1)).step_by(window as usize);
        let of_list = |probe: usize| {
            windows.clone().map(move |start| RoundPlan {
                first: probe,
                end: probe + 1,
                window: (start, start.saturating_add(window)),
                may_bound: false,
            })
        };
        Self((0..nprobe).flat_map(of_list).collect())
    }

    /// Returns all probes as one round, for a search without selection.
    pub(super) fn one(nprobe: usize, longest: u32) -> RoundPlan {
        RoundPlan { first: 0, end: nprobe, window: (0, longest), may_bound: true }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_of_every_probe_is_in_one_round() {
        for (nprobe, longest, window) in [(1, 5, 32), (1, 100, 32), (7, 64, 32), (64, 1000, 96), (3, 0, 32)] {
            for rounds in [Rounds::few(nprobe, longest, window), Rounds::safe(nprobe, longest, window)] {
                let mut seen = vec![0; nprobe * longest as usize];
                for round in rounds.0 {
                    for probe in round.first..round.end {
                        for offset in round.window.0..round.window.1.min(longest) {
                            seen[probe * longest as usize + offset as usize] += 1;
                        }
                    }
                }
                assert!(seen.iter().all(|&times| times == 1), "{nprobe} probes of {longest} codes");
            }
        }
    }

    #[test]
    fn a_safe_round_has_one_window_of_one_list() {
        let rounds = Rounds::safe(3, 100, 32);
        assert_eq!(rounds.0.len(), 3 * 4);
        assert!(rounds.0.iter().all(|round| round.end - round.first == 1 && round.window.1 - round.window.0 == 32));
    }
}
