//! The flow against a count of all cuts, and the bound against all that a small world can do.

use kmi_tests::simulation::bound;
use kmi_tests::simulation::demand::Request;
use kmi_tests::simulation::flow::Flow;
use kmi_tests::simulation::scenario::Scenario;
use kmi_tests::simulation::world::{Account, Plan, World};
use kmi_tests::simulation::{HOUR, MINUTE, Millis, SECOND, Units};
use proptest::prelude::*;

/// The smallest cut, by counting every one: what flows at most [Ford and Fulkerson 1956].
fn smallest_cut(nodes: usize, arcs: &[(usize, usize, i64)]) -> i64 {
    // node 0 is the source and node 1 the sink
    (0..1u32 << (nodes - 2))
        .map(|rest| {
            let sources = rest << 2 | 1;
            let inside = |node: usize| sources >> node & 1 == 1;
            let cut = arcs.iter().filter(|(from, to, _)| inside(*from) && !inside(*to));
            cut.map(|(_, _, capacity)| capacity).sum()
        })
        .min()
        .unwrap()
}

fn a_request(at: Millis, session: u32, (shared, fresh): (i64, i64)) -> Request {
    Request {
        at,
        session,
        shared,
        fresh,
        output: 10,
        leaves: shared + fresh + 10,
        takes: SECOND,
        fault: None,
        may_hit: false,
    }
}

fn small_world(accounts: &[(Units, Units, Millis, Millis)], requests: Vec<Request>) -> Scenario {
    let mut world = World::default();
    for (number, &(five_hours, week, five_hours_ago, week_ago)) in accounts.iter().enumerate() {
        let plan = Plan { level: "LEVEL_BASIC", five_hours, week, parallel: 10 };
        world.add(Account::new(number.to_string(), plan, five_hours_ago, week_ago, 0.0));
    }
    Scenario {
        name: "small",
        seed: 0,
        until: 24 * HOUR,
        world,
        requests,
        troubles: Vec::new(),
        skews: Vec::new(),
    }
}

/// The most that any choice of accounts serves, each request when it is asked for: every choice is tried.
fn best_choice(world: &World, requests: &[Request]) -> Units {
    let Some((request, later)) = requests.split_first() else { return 0 };
    let mut best = best_choice(world, later);
    for number in 0..world.accounts.len() {
        let mut then = world.clone();
        let account = &mut then.accounts[number];
        account.pass(request.at);
        if account.week.is_full() || account.five_hours.is_full() {
            continue;
        }
        let cached = account.cached(request.session, request.shared);
        let paid = kmi_tests::simulation::world::cost(request.input(), cached, request.output);
        account.admit(paid);
        account.end(Some((request.session, request.leaves)), request.at);
        best = best.max(request.least_cost() + best_choice(&then, later));
    }
    best
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn the_most_that_flows_is_the_smallest_cut(
        nodes in 2usize..8,
        arcs in proptest::collection::vec((0usize..8, 0usize..8, 0i64..20), 0..24),
    ) {
        let arcs: Vec<_> = arcs.into_iter().map(|(from, to, most)| (from % nodes, to % nodes, most)).collect();
        let mut flow = Flow::default();
        for _ in 0..nodes {
            flow.node();
        }
        for &(from, to, most) in &arcs {
            flow.arc(from, to, most);
        }
        prop_assert_eq!(flow.most(0, 1), smallest_cut(nodes, &arcs));
    }

    #[test]
    fn no_choice_of_accounts_serves_more_than_the_bound(
        accounts in proptest::collection::vec(
            (100i64..4000, 100i64..6000, 0..5 * HOUR, 0..168 * HOUR), 1..3,
        ),
        requests in proptest::collection::vec((0..12 * 60i64, 0u32..3, (0i64..100, 1i64..100)), 0..7),
    ) {
        let mut requests: Vec<Request> = requests
            .into_iter()
            .map(|(minute, session, sizes)| a_request(minute * MINUTE, session, sizes))
            .collect();
        requests.sort_by_key(|request| request.at);
        for index in 1..requests.len() {
            let earlier = &requests[..index];
            let session = requests[index].session;
            requests[index].may_hit = earlier.iter().any(|other| other.session == session);
        }
        let scenario = small_world(&accounts, requests);
        let best = best_choice(&scenario.world, &scenario.requests);
        prop_assert!(best <= bound::most_work(&scenario));
    }
}

/// With windows that are exactly full and requests of one size, the bound is what the best choice serves and one
/// request more for each window: it is not only valid, it is close.
#[test]
fn the_bound_is_close_where_windows_bind() {
    let requests: Vec<Request> =
        (0..40i64).map(|number| a_request(number * 15 * MINUTE, number as u32, (0, 60))).collect();
    let each = requests[0].least_cost();
    let scenario = small_world(&[(4 * each, 100 * each, 0, 0)], requests);
    // two windows of five hours, four requests in each
    assert_eq!(best_choice(&scenario.world, &scenario.requests[..8]), 4 * each);
    assert_eq!(bound::most_work(&scenario), 10 * each);
}
