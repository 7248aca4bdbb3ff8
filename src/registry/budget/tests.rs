#![allow(clippy::unwrap_used)]

use std::sync::atomic::{AtomicU64, Ordering};

use super::*;

/// A ledger that outlives the budgets that count in it, and counts its writes.
#[derive(Default)]
struct Kept {
    memory: MemoryLedger,
    writes: AtomicU64,
    is_broken: std::sync::atomic::AtomicBool,
}

impl Kept {
    fn requests(&self, host: &str) -> u64 {
        self.memory.counts.lock().unwrap().hosts.get(host).map_or(0, |count| count.requests)
    }

    fn writes(&self) -> u64 {
        self.writes.load(Ordering::Relaxed)
    }
}

impl RequestLedger for Kept {
    fn update<'a>(&'a self, change: &'a mut (dyn FnMut(&mut BudgetSnapshot) + Send)) -> BoxFuture<'a, Result<()>> {
        if self.is_broken.load(Ordering::Relaxed) {
            return Box::pin(std::future::ready(Err(Error::lake("a scripted failure"))));
        }
        self.writes.fetch_add(1, Ordering::Relaxed);
        self.memory.update(change)
    }
}

async fn budget(limit: Option<u64>, ledger: &Arc<Kept>) -> RequestBudget {
    let budget = RequestBudget::new(limit);
    budget.count_in(Arc::clone(ledger) as Arc<dyn RequestLedger>).await.unwrap();
    budget
}

#[tokio::test]
async fn a_budget_is_per_host_and_month() {
    let ledger = Arc::new(Kept::default());
    let budget = budget(Some(2), &ledger).await;
    budget.take("a", "2026-11").await.unwrap();
    budget.take("a", "2026-11").await.unwrap();
    let error = budget.take("a", "2026-11").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::RateLimit);
    assert!(error.hint_text().is_some_and(|hint| hint.contains("--monthly-budget")));
    budget.take("b", "2026-11").await.unwrap();
    budget.take("a", "2026-12").await.unwrap();
    budget.settle().await.unwrap();
    let counts = ledger.memory.counts.lock().unwrap().clone();
    assert_eq!(counts.hosts["a"], MonthCount { month: "2026-12".to_owned(), requests: 1 });
    assert_eq!(counts.hosts["b"], MonthCount { month: "2026-11".to_owned(), requests: 1 });
    // The form in which the lake stores it.
    let text = serde_json::to_string(&counts).unwrap();
    assert!(text.starts_with(r#"{"hosts":{"a":{"month":"2026-12","requests":1}"#), "{text}");
}

#[tokio::test(start_paused = true)]
async fn the_count_is_never_too_low_and_exact_in_the_end() {
    let ledger = Arc::new(Kept::default());
    let budget = budget(None, &ledger).await;
    for sent in 1..=20_000 {
        budget.take("a", "2026-11").await.unwrap();
        assert!(ledger.requests("a") >= sent, "a kill after request {sent} would lose some");
        // At 400 requests a second.
        tokio::time::advance(Duration::from_micros(2_500)).await;
        assert!(ledger.requests("a") - sent <= 1_100, "a kill after request {sent} would waste a lot");
    }
    let writes = ledger.writes();
    assert!(writes < 100, "{writes} writes in 50 s");
    budget.settle().await.unwrap();
    assert_eq!(ledger.requests("a"), 20_000);
}

#[tokio::test(start_paused = true)]
async fn a_slow_run_reserves_little() {
    let ledger = Arc::new(Kept::default());
    let budget = budget(None, &ledger).await;
    for sent in 1..=600 {
        budget.take("a", "2026-11").await.unwrap();
        assert!(ledger.requests("a") - sent <= 2 * FIRST_BLOCK);
        tokio::time::advance(Duration::from_millis(200)).await;
    }
}

#[tokio::test]
async fn killed_runs_never_exceed_the_budget_and_waste_little_of_it() {
    for limit in [1, 5, 100, 3_000] {
        let ledger = Arc::new(Kept::default());
        let mut sent = 0;
        for kill_after in (0..).map(|run: u64| run * 7 % 40) {
            // Dropped, it gives nothing back.
            let budget = budget(Some(limit), &ledger).await;
            let before = sent;
            while sent - before < kill_after && budget.take("a", "2026-11").await.is_ok() {
                sent += 1;
            }
            // Whatever it reserves ahead is counted as well.
            drop(turn(&budget.shared).await.unwrap());
            assert!(ledger.requests("a") >= sent && ledger.requests("a") <= limit);
            if sent - before < kill_after {
                break;
            }
        }
        assert!(sent <= limit && sent >= limit / 3, "{sent} of {limit}");
    }
}

#[tokio::test]
async fn two_processes_lose_nothing_of_each_others_count() {
    let ledger = Arc::new(Kept::default());
    let (one, other) = (budget(Some(200), &ledger).await, budget(Some(200), &ledger).await);
    for _ in 0..30 {
        one.take("a", "2026-11").await.unwrap();
        other.take("a", "2026-11").await.unwrap();
        other.take("b", "2026-11").await.unwrap();
    }
    one.settle().await.unwrap();
    one.take("a", "2026-11").await.unwrap();
    one.settle().await.unwrap();
    other.settle().await.unwrap();
    assert_eq!((ledger.requests("a"), ledger.requests("b")), (61, 30));
    let mut more = 0;
    while one.take("a", "2026-11").await.is_ok() || other.take("a", "2026-11").await.is_ok() {
        more += 1;
    }
    assert_eq!(more, 139);
}

#[tokio::test]
async fn three_processes_near_the_end_of_a_budget_hold_no_more_than_its_rest() {
    for limit in [1, 3, 17, 100, 2_000] {
        let ledger = Arc::new(Kept::default());
        let mut processes = Vec::new();
        for _ in 0..3 {
            processes.push((budget(Some(limit), &ledger).await, true));
        }
        let mut sent = 0;
        while processes.iter().any(|(_, goes_on)| *goes_on) {
            for (number, (budget, goes_on)) in processes.iter_mut().enumerate() {
                // They send requests at different rates.
                for _ in 0..=number * 3 {
                    *goes_on = *goes_on && budget.take("a", "2026-11").await.is_ok();
                    sent += u64::from(*goes_on);
                }
                drop(turn(&budget.shared).await.unwrap());
                let held: u64 = budget.shared.blocks().by_host.values().map(|block| block.left).sum();
                assert!(sent + held <= ledger.requests("a") && ledger.requests("a") <= limit);
            }
        }
        // None has waited for requests that another held, and none are lost.
        assert_eq!((sent, ledger.requests("a")), (limit, limit));
    }
}

#[tokio::test]
async fn requests_that_a_process_gives_back_are_available_to_others() {
    let ledger = Arc::new(Kept::default());
    let (one, other) = (budget(Some(400), &ledger).await, budget(Some(400), &ledger).await);
    one.take("a", "2026-11").await.unwrap();
    let mut sent = 1;
    while other.take("a", "2026-11").await.is_ok() {
        sent += 1;
    }
    let held = 400 - sent;
    assert!((1..400 / BLOCKS_LEFT).contains(&held), "{held}");
    one.settle().await.unwrap();
    for _ in 0..held {
        other.take("a", "2026-11").await.unwrap();
    }
    assert!(other.take("a", "2026-11").await.is_err());
}

#[tokio::test]
async fn a_clock_that_is_behind_takes_nothing_from_the_month_that_has_begun() {
    let ledger = Arc::new(Kept::default());
    let (early, late) = (budget(Some(40), &ledger).await, budget(Some(40), &ledger).await);
    late.take("a", "2026-11").await.unwrap();
    early.take("a", "2026-12").await.unwrap();
    for _ in 0..5 {
        late.take("a", "2026-11").await.unwrap();
    }
    early.settle().await.unwrap();
    late.settle().await.unwrap();
    let count = ledger.memory.counts.lock().unwrap().hosts["a"].clone();
    // The block that November had given is used up first, and gives nothing back to December.
    assert_eq!(count.month, "2026-12");
    assert!((1..=6).contains(&count.requests), "{count:?}");
}

#[tokio::test]
async fn requests_sent_before_there_was_a_ledger_are_counted_in_it() {
    let budget = RequestBudget::new(Some(5));
    budget.take("a", "2026-11").await.unwrap();
    budget.take("a", "2026-11").await.unwrap();
    let ledger = Arc::new(Kept::default());
    ledger.memory.counts.lock().unwrap().reserve("a", "2026-11", 2, None);
    for _ in 0..2 {
        budget.count_in(Arc::clone(&ledger) as Arc<dyn RequestLedger>).await.unwrap();
        assert_eq!(ledger.requests("a"), 4);
    }
    budget.take("a", "2026-11").await.unwrap();
    assert!(budget.take("a", "2026-11").await.is_err());
}

#[tokio::test]
async fn nothing_is_taken_where_it_cannot_be_counted() {
    let ledger = Arc::new(Kept::default());
    let budget = budget(None, &ledger).await;
    budget.take("a", "2026-11").await.unwrap();
    ledger.is_broken.store(true, Ordering::Relaxed);
    assert_eq!(budget.take("b", "2026-11").await.unwrap_err().kind(), ErrorKind::Lake);
    ledger.is_broken.store(false, Ordering::Relaxed);
    budget.take("b", "2026-11").await.unwrap();
    budget.settle().await.unwrap();
    assert_eq!((ledger.requests("a"), ledger.requests("b")), (1, 1));
}

#[tokio::test]
async fn many_tasks_share_a_budget() {
    let ledger = Arc::new(Kept::default());
    let budget = Arc::new(budget(Some(1_000), &ledger).await);
    let take = |budget: Arc<RequestBudget>| async move { budget.take("a", "2026-11").await.is_ok() };
    let tasks: Vec<_> = (0..1_200).map(|_| tokio::spawn(take(Arc::clone(&budget)))).collect();
    let mut taken = 0;
    for task in tasks {
        taken += u64::from(task.await.unwrap());
    }
    assert_eq!(taken, 1_000);
}

#[test]
fn months_turn_in_utc() {
    let month = |text: &str| month_of(text.parse().unwrap());
    assert_eq!(month("2026-11-30T23:59:59Z"), "2026-11");
    assert_eq!(month("2026-12-01T00:30:00+01:00"), "2026-11");
    assert_eq!(month("2026-12-01T00:00:00Z"), "2026-12");
}
