#![allow(clippy::unwrap_used)]

use super::super::classify::{Evidence, Fault, classify};
use super::*;
use crate::error::ErrorKind;

const KNOWN: Standing = Standing { useful_answers: 1, waiting: FEW_WAITING, has_listed_before: false, is_down: false };

fn standing(known: bool) -> Standing {
    if known { KNOWN } else { Standing::default() }
}

fn failed(fault: &Fault) -> Failed {
    Failed::NoAnswer { verdict: classify(&Evidence::Failed(fault)), http_status: None }
}

#[test]
fn pauses_double_up_to_the_cap_and_attempts_end() {
    let config = RegistryConfig {
        max_attempts: 6,
        retry_pause: Duration::from_millis(100),
        retry_pause_cap: Duration::from_millis(500),
        ..RegistryConfig::default()
    };
    let mut attempts = Attempts::new(&config);
    let mut pauses = Vec::new();
    let failure = loop {
        attempts.begin();
        match attempts.after(failed(&Fault::TimedOut), 1.0, KNOWN) {
            Ok(pause) => pauses.push(pause.as_millis()),
            Err(failure) => break failure,
        }
    };
    assert_eq!(pauses, [100, 200, 400, 500, 500]);
    assert_eq!((failure.attempts, failure.outcome), (6, Some(Outcome::Failed)));
    assert_eq!(failure.error.kind(), ErrorKind::Network);
    assert!(failure.error.message().contains("6 times"), "{}", failure.error);
}

#[test]
fn the_pause_is_drawn_from_all_of_its_range() {
    let mut attempts = Attempts::new(&RegistryConfig::default());
    attempts.begin();
    assert_eq!(attempts.after(failed(&Fault::TimedOut), 0.0, KNOWN).unwrap(), Duration::ZERO);
    assert_eq!(attempts.after(failed(&Fault::TimedOut), 0.5, KNOWN).unwrap(), Duration::from_millis(250));
}

#[test]
fn an_unknown_server_is_given_up_soon_and_a_known_registry_is_not() {
    let fault = Fault::OtherKind("it says hello".to_owned());
    for (known, expected) in [(false, 3), (true, 8)] {
        let mut attempts = Attempts::new(&RegistryConfig::default());
        let failure = loop {
            attempts.begin();
            if let Err(failure) = attempts.after(failed(&fault), 0.0, standing(known)) {
                break failure;
            }
        };
        assert_eq!(failure.attempts, expected);
        assert_eq!(failure.error.hint_text().is_some(), !known);
    }
}

#[test]
fn a_refusal_does_not_make_an_unknown_server() {
    let unknown_server = Fault::OtherKind("it says hello".to_owned());
    let mut attempts = Attempts::new(&RegistryConfig::default());
    for fault in [&Fault::TimedOut, &Fault::TimedOut, &unknown_server, &Fault::TimedOut, &unknown_server] {
        attempts.begin();
        assert!(attempts.after(failed(fault), 0.0, Standing::default()).is_ok());
    }
    attempts.begin();
    assert!(attempts.after(failed(&unknown_server), 0.0, Standing::default()).is_err());
}

fn refused() -> Failed {
    let (pressure, unknown_server, reason) = (Pressure::Refused, UnknownServer::No, "status 429".to_owned());
    let verdict = Verdict::Retry { pressure, retry_after: None, unknown_server, past_caches: false, reason };
    Failed::NoAnswer { verdict, http_status: Some(429) }
}

/// Returns how many refusals one request survives, with these states of the host.
fn refusals_borne(mut attempts: Attempts, mut standings: impl Iterator<Item = Standing>) -> u32 {
    loop {
        attempts.begin();
        if attempts.after(refused(), 0.0, standings.next().unwrap()).is_err() {
            return attempts.made();
        }
    }
}

#[test]
fn a_name_that_is_refused_while_others_are_answered_or_when_it_is_the_last_is_given_up() {
    let config = RegistryConfig { max_attempts: 8, ..RegistryConfig::default() };
    let flowing = (1..).map(|useful_answers| Standing { useful_answers, waiting: 40, ..Standing::default() });
    let alone = std::iter::repeat(Standing { useful_answers: 5, waiting: 0, ..Standing::default() });
    let mut attempts = Attempts::of_a_name(&config);
    let is_for_its_name = flowing.clone().take(4).map(|standing| {
        attempts.begin();
        assert!(attempts.after(refused(), 0.0, standing).is_ok());
        attempts.is_refused_for_its_name()
    });
    assert_eq!(is_for_its_name.collect::<Vec<_>>(), [false, true, true, true]);
    assert_eq!(refusals_borne(Attempts::of_a_name(&config), flowing.clone()), 12);
    assert_eq!(refusals_borne(Attempts::of_a_name(&config), alone), 12);
    assert_eq!(refusals_borne(Attempts::new(&config), flowing), 40, "without a page the run cannot go on");
}

#[tokio::test(start_paused = true)]
async fn a_name_over_which_the_server_falls_silent_is_given_up_before_its_attempts_are_used_up() {
    for (is_of_a_name, expected) in [(true, 3), (false, 8)] {
        let config = RegistryConfig { max_attempts: 8, ..RegistryConfig::default() };
        let mut attempts = if is_of_a_name { Attempts::of_a_name(&config) } else { Attempts::new(&config) };
        loop {
            attempts.begin();
            tokio::time::advance(config.silence_timeout).await;
            if attempts.after(failed(&Fault::TimedOut), 0.0, KNOWN).is_err() {
                break;
            }
            // Waiting at the gate is not the server's time.
            tokio::time::advance(Duration::from_secs(600)).await;
        }
        assert_eq!(attempts.made(), expected);
    }
}

#[test]
fn a_ban_does_not_use_up_attempts() {
    let config = RegistryConfig { max_attempts: 3, ..RegistryConfig::default() };
    for (mut attempts, host) in [
        (Attempts::new(&config), Standing::default()),
        (Attempts::new(&config), Standing { useful_answers: 5, waiting: 0, ..Standing::default() }),
        (Attempts::of_a_name(&config), Standing { useful_answers: 5, waiting: 40, ..Standing::default() }),
    ] {
        for _ in 0..1000 {
            attempts.begin();
            // The gate waits; the request itself does not wait longer and longer.
            assert!(attempts.after(refused(), 1.0, host).unwrap() <= config.retry_pause);
        }
    }
}

#[test]
fn the_last_name_is_refused_for_longer_where_the_server_names_a_time() {
    let mut named = refused();
    let Failed::NoAnswer { verdict: Verdict::Retry { retry_after, .. }, .. } = &mut named else { unreachable!() };
    *retry_after = Some(Duration::from_secs(3));
    let mut attempts = Attempts::of_a_name(&RegistryConfig { max_attempts: 8, ..RegistryConfig::default() });
    let made = loop {
        attempts.begin();
        let Failed::NoAnswer { verdict, http_status } = &named else { unreachable!() };
        let failed = Failed::NoAnswer { verdict: verdict.clone(), http_status: *http_status };
        if attempts.after(failed, 0.0, Standing { useful_answers: 5, waiting: 0, ..Standing::default() }).is_err() {
            break attempts.made();
        }
    };
    assert_eq!(made, 24);
}

#[test]
fn a_server_that_is_down_for_all_is_waited_for_and_one_that_fails_for_a_name_is_not() {
    let config = RegistryConfig { max_attempts: 3, ..RegistryConfig::default() };
    let down = || {
        let (pressure, unknown_server, reason) = (Pressure::Down, UnknownServer::No, "503".to_owned());
        let verdict = Verdict::Retry { pressure, retry_after: None, unknown_server, past_caches: false, reason };
        Failed::NoAnswer { verdict, http_status: Some(503) }
    };
    let unreachable = || failed(&Fault::Unreachable("refused".to_owned()));
    let mut page = Attempts::new(&config);
    for _ in 0..1000 {
        page.begin();
        assert!(page.after(down(), 0.0, KNOWN).is_ok());
    }
    for _ in 0..1000 {
        page.begin();
        assert!(page.after(unreachable(), 0.0, KNOWN).is_ok());
    }
    for failed in [down, unreachable] {
        let mut name = Attempts::of_a_name(&config);
        let flowing = (1..).map(|useful_answers| Standing { useful_answers, waiting: 40, ..Standing::default() });
        let ended = flowing.take(10).position(|standing| {
            name.begin();
            name.after(failed(), 0.0, standing).is_err()
        });
        assert_eq!(ended, Some(2));
    }
}

#[test]
fn the_last_names_of_a_run_wait_for_a_server_that_is_down_for_all() {
    let config = RegistryConfig { max_attempts: 3, ..RegistryConfig::default() };
    let last = Standing { useful_answers: 5, ..Standing::default() };
    let gateway = || failed(&Fault::Closed("early".to_owned()));
    let refused = || failed(&Fault::Unreachable("refused".to_owned()));
    for (failed, is_down, is_doubtful, is_waited_for) in [
        // Something responds at its place, and another request finds out what is up.
        (&gateway as &dyn Fn() -> Failed, true, true, true),
        (&gateway, false, true, false),
        // Nobody listens there: that is never about a name.
        (&refused, false, false, true),
    ] {
        let mut name = Attempts::of_a_name(&config);
        name.begin();
        assert!(!name.doubt_host(&failed(), last), "others were served since the last attempt");
        assert!(name.after(failed(), 0.0, last).is_ok());
        assert_eq!(name.doubt_host(&failed(), last), is_doubtful);
        assert!(!name.doubt_host(&failed(), Standing { waiting: FEW_WAITING, ..last }), "others show it");
        let borne = (0..1_000).take_while(|_| {
            name.begin();
            name.after(failed(), 0.0, Standing { is_down, ..last }).is_ok()
        });
        assert_eq!(borne.count() == 1_000, is_waited_for);
    }
}

#[test]
fn a_server_in_trouble_is_waited_for_from_the_start_if_it_has_listed_names_before() {
    for (has_listed_before, http_status, expected) in
        [(true, Some(503), None), (false, Some(503), Some(8)), (true, None, Some(3))]
    {
        let mut attempts = Attempts::new(&RegistryConfig { max_attempts: 8, ..RegistryConfig::default() });
        let host = Standing { has_listed_before, ..Standing::default() };
        let ended = (0..1_000).find_map(|_| {
            attempts.begin();
            let unknown_server = if http_status.is_some() { UnknownServer::No } else { UnknownServer::Unreachable };
            let (pressure, reason) = (Pressure::Down, "down".to_owned());
            let verdict = Verdict::Retry { pressure, retry_after: None, unknown_server, past_caches: false, reason };
            attempts.after(Failed::NoAnswer { verdict, http_status }, 0.0, host).err()
        });
        assert_eq!(ended.map(|failure| failure.attempts), expected, "{has_listed_before} {http_status:?}");
    }
}

#[test]
fn a_host_behind_a_redirect_is_waited_for_only_if_it_has_responded_before() {
    let url = Url::parse("http://elsewhere.example:81/x").unwrap();
    for (useful_answers, expected) in [(0, Some(8)), (1, None)] {
        let mut page = Attempts::new(&RegistryConfig { max_attempts: 8, ..RegistryConfig::default() });
        let elsewhere = Standing { useful_answers, ..Standing::default() };
        let ended = (0..1_000).find_map(|_| {
            page.begin();
            let found = failed(&Fault::Unreachable("refused".to_owned())).of_another_host(&url, elsewhere);
            page.after(found, 0.0, KNOWN).err()
        });
        assert_eq!(ended.as_ref().map(|failure| failure.attempts), expected);
        let words = ended.map(|failure| failure.error.message().to_owned()).unwrap_or_default();
        assert!(
            words.is_empty() || words.contains("it redirects to elsewhere.example:81, and the server cannot"),
            "{words}"
        );
    }
}

#[test]
fn a_connection_that_cannot_be_made_is_settled_or_tried_again_and_has_its_own_hint() {
    let config = RegistryConfig::default();
    for (is_settled, known, expected) in [(true, false, 1), (false, false, 3)] {
        let mut attempts = Attempts::new(&config);
        let failure = loop {
            attempts.begin();
            let (reason, hint) = ("no trust".to_owned(), "trust it".to_owned());
            let failed = Failed::NoConnection(NoConnection { reason, hint, is_settled });
            if let Err(failure) = attempts.after(failed, 0.0, standing(known)) {
                break failure;
            }
        };
        assert_eq!((failure.attempts, failure.outcome), (expected, None));
        assert_eq!(failure.error.hint_text(), Some("trust it"));
        assert!(failure.error.message().contains("no trust"), "{}", failure.error);
    }
}

#[test]
fn a_host_that_was_never_reached_stops_the_run() {
    for (known, outcome) in [(false, None), (true, Some(Outcome::Failed))] {
        let mut attempts = Attempts::new(&RegistryConfig { max_attempts: 3, ..RegistryConfig::default() });
        // A known host responds to others meanwhile; one that responds to nobody is waited for.
        let mut host = standing(known);
        let failure = loop {
            host.useful_answers += u64::from(known);
            attempts.begin();
            let unreachable = Fault::Unreachable("refused".to_owned());
            if let Err(failure) = attempts.after(failed(&unreachable), 0.0, host) {
                break failure;
            }
        };
        assert_eq!(failure.outcome, outcome);
    }
}
