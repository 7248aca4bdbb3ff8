use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use all_docs::error::ErrorKind;
use all_docs::lake::{Item, ItemResult, PackumentPayload, Payload};
use all_docs::pipeline::{Dispatch, PushDispatch};
use all_docs::sample::World;
use axum::Router;
use axum::body::Body;
use axum::http::{Response, StatusCode};
use axum::routing::{get, post};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::fixture::fleet_options;
use crate::support::{Env, ORIGIN};

/// The act of a scripted worker on an item.
#[derive(Debug, Clone, Copy)]
enum Act {
    Succeed,
    /// Answers with success for another item.
    OfAnother,
    /// Answers with this status, this `Retry-After`, and a result with this status.
    Answer(u16, &'static str, u16),
    /// Answers with this status, and no result.
    Words(u16),
    /// Ends the connection without an answer.
    HangUp,
}

/// A worker that follows a script, then succeeds; and how many items it got.
struct Scripted {
    url: String,
    items: Arc<Mutex<usize>>,
    server: tokio::task::JoinHandle<std::io::Result<()>>,
}

fn result(success: bool, status: u16) -> serde_json::Value {
    let error = (!success).then(|| json!({"message": format!("it is {status}"), "statusCode": status}));
    json!({"workItemId": item().id(), "success": success, "data": null, "error": error, "duration": 1, "metrics": null})
}

fn answer(status: u16, retry_after: &str, body: String) -> Response<Body> {
    let status = StatusCode::from_u16(status).unwrap();
    Response::builder().status(status).header("retry-after", retry_after).body(Body::from(body)).unwrap()
}

async fn scripted(script: &[Act]) -> Scripted {
    let script: Arc<Mutex<VecDeque<Act>>> = Arc::new(Mutex::new(script.iter().copied().collect()));
    let items = Arc::new(Mutex::new(0));
    let count = Arc::clone(&items);
    let work = move || async move {
        *count.lock().unwrap() += 1;
        let act = script.lock().unwrap().pop_front().unwrap_or(Act::Succeed);
        match act {
            Act::Succeed => answer(200, "0", result(true, 200).to_string()),
            Act::OfAnother => {
                let mut other = result(true, 200);
                other["workItemId"] = json!("v1:packument:sample:79");
                answer(200, "0", other.to_string())
            }
            Act::Answer(status, retry_after, told) => answer(status, retry_after, result(false, told).to_string()),
            Act::Words(status) => answer(status, "0", "<html>".to_owned()),
            Act::HangUp => {
                let cut = futures::stream::iter([Err::<String, _>(std::io::Error::other("cut"))]);
                Response::builder().header("content-length", "9").body(Body::from_stream(cut)).unwrap()
            }
        }
    };
    let ready = json!({"origin": ORIGIN, "lake": "x", "documents": "full", "items": 2, "knowsRun": null}).to_string();
    let router = Router::new()
        .route("/work/{kind}", post(work))
        .route("/readyz", get(move || async move { ([("connection", "close")], ready) }));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let server = tokio::spawn(async move { axum::serve(listener, router).await });
    Scripted { url, items, server }
}

fn item() -> Item {
    let payload = PackumentPayload { package_name: "x".to_owned(), run: None };
    Item::new(ORIGIN, Payload::Packument(payload)).unwrap()
}

/// Hands one item out to workers with these scripts. Returns the result, and how many items each worker got.
async fn hand(scripts: &[&[Act]]) -> (Result<ItemResult, all_docs::error::Error>, Vec<usize>) {
    let env = Env::new(World::seeded(61, 5));
    let workers = futures::future::join_all(scripts.iter().map(|script| scripted(script))).await;
    let urls: Vec<String> = workers.iter().map(|worker| worker.url.clone()).collect();
    let dispatch = PushDispatch::open(&fleet_options(&env), &urls, None).await.unwrap();
    assert_eq!(dispatch.at_once(), 2 * scripts.len());
    let result = dispatch.dispatch(&item(), &CancellationToken::new()).await;
    (result, workers.iter().map(|worker| *worker.items.lock().unwrap()).collect())
}

#[tokio::test]
async fn an_item_that_a_worker_cannot_do_goes_to_another() {
    for act in [
        Act::Answer(429, "18446744073709551615", 429),
        Act::Answer(503, "3600", 503),
        Act::Answer(500, "3600", 500),
        Act::HangUp,
        Act::Words(502),
    ] {
        let (result, items) = hand(&[&[act], &[]]).await;
        assert!(result.unwrap().success, "{act:?}");
        assert_eq!(items, [1, 1], "{act:?}");
    }
}

#[tokio::test]
async fn an_item_that_another_process_holds_is_pushed_until_it_is_free() {
    let held = Act::Answer(409, "0", 409);
    let (result, items) = hand(&[&[held; 7]]).await;
    assert!(result.unwrap().success);
    assert_eq!(items, [8]);
}

#[tokio::test]
async fn an_item_that_fails_everywhere_is_given_up() {
    let (result, items) = hand(&[&[Act::Answer(503, "0", 503); 9]]).await;
    assert_eq!(result.unwrap().error.unwrap().message, "it is 503");
    assert_eq!(items, [5]);
    let (result, items) = hand(&[&[Act::Words(500); 9]]).await;
    assert_eq!(result.unwrap_err().kind(), ErrorKind::Network);
    assert_eq!(items, [5]);
    // The worker has waited for the registry already.
    let (result, items) = hand(&[&[Act::Answer(503, "0", 429)]]).await;
    assert_eq!(result.unwrap().error.unwrap().status_code, 429);
    assert_eq!(items, [1]);
}

#[tokio::test]
async fn what_would_fail_again_is_not_pushed_again() {
    let (result, items) = hand(&[&[Act::Answer(200, "0", 403)], &[]]).await;
    assert!(!result.unwrap().success);
    assert_eq!(items.iter().sum::<usize>(), 1);
    for (status, kind) in [(401, ErrorKind::Denied), (400, ErrorKind::Network), (404, ErrorKind::Network)] {
        let (result, items) = hand(&[&[Act::Answer(status, "0", status)]]).await;
        assert_eq!((result.unwrap_err().kind(), items), (kind, vec![1]), "{status}");
    }
}

/// A worker that is gone, for as long as another one can be reached, costs an item nothing.
#[tokio::test]
async fn workers_that_cannot_be_reached_are_set_aside_and_the_item_goes_to_the_others() {
    let env = Env::new(World::seeded(61, 5));
    let there = scripted(&[]).await;
    let gone = scripted(&[]).await;
    let urls = [gone.url.clone(), there.url.clone()];
    let dispatch = PushDispatch::open(&fleet_options(&env), &urls, None).await.unwrap();
    gone.server.abort();
    let _ = gone.server.await;
    for _ in 0..12 {
        assert!(dispatch.dispatch(&item(), &CancellationToken::new()).await.unwrap().success);
    }
    assert_eq!((*gone.items.lock().unwrap(), *there.items.lock().unwrap()), (0, 12));
}

#[tokio::test]
async fn a_run_ends_when_no_worker_was_reached_for_its_patience() {
    let env = Env::new(World::seeded(61, 5));
    let worker = scripted(&[]).await;
    let mut options = fleet_options(&env);
    options.registry = env.registry_with(|config| config.registry.patience = std::time::Duration::ZERO);
    let dispatch = PushDispatch::open(&options, std::slice::from_ref(&worker.url), None).await.unwrap();
    worker.server.abort();
    let _ = worker.server.await;
    let error = dispatch.dispatch(&item(), &CancellationToken::new()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Network);
    assert!(error.message().starts_with("no worker can be reached since 20"), "{error}");
    assert!(error.message().contains("127.0.0.1"), "{error}");
}

#[tokio::test]
async fn the_result_of_another_item_is_none() {
    let (result, items) = hand(&[&[Act::OfAnother]]).await;
    let error = result.unwrap_err();
    assert!(error.message().contains("the result of another item"), "{error}");
    assert_eq!((error.kind(), items), (ErrorKind::Network, vec![1]));
}

#[tokio::test]
async fn a_stop_ends_the_handing_out() {
    let env = Env::new(World::seeded(61, 5));
    let worker = scripted(&[Act::Answer(429, "3600", 429)]).await;
    let dispatch = PushDispatch::open(&fleet_options(&env), std::slice::from_ref(&worker.url), None).await.unwrap();
    let stop = CancellationToken::new();
    let item = item();
    let stopped = async {
        while *worker.items.lock().unwrap() == 0 {
            tokio::task::yield_now().await;
        }
        stop.cancel();
    };
    let (result, ()) = futures::future::join(dispatch.dispatch(&item, &stop), stopped).await;
    assert_eq!(result.unwrap_err().kind(), ErrorKind::Interrupted);
}
