#![allow(clippy::unwrap_used)]

use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio_util::sync::CancellationToken;

use super::test_server::NatsServer;
use super::*;

async fn connect(server: &NatsServer) -> Queue {
    let options = QueueOptions { ack_wait: Duration::from_secs(2), ..QueueOptions::default() };
    Queue::connect(&QueueAddress::parse(&server.url()).unwrap(), options).await.unwrap()
}

fn work(digest: &str, priority: Priority) -> Work {
    Work { digest: digest.to_owned(), body: digest.to_owned().into(), priority }
}

async fn take(queue: &WorkQueue) -> Delivery {
    queue.next(&CancellationToken::new()).await.unwrap().unwrap()
}

#[tokio::test]
async fn items_come_by_priority_once_each_and_go_when_they_are_done() {
    let Some(server) = NatsServer::start() else { return };
    let queue = connect(&server).await.work("npm").await.unwrap();
    assert!(queue.put(&work("later", Priority::Low)).await.unwrap());
    assert!(queue.put(&work("usual", Priority::Normal)).await.unwrap());
    assert!(queue.put(&work("first", Priority::High)).await.unwrap());
    assert!(!queue.put(&work("usual", Priority::Normal)).await.unwrap(), "the second of the same digest is none");
    let other = connect(&server).await.work("npm").await.unwrap();
    let elsewhere = other.queue().work("mirror").await.unwrap();
    assert!(elsewhere.waiting().await.unwrap().iter().all(|some| some.waiting == 0), "origins are apart");
    for (expected, priority) in [("first", Priority::High), ("usual", Priority::Normal), ("later", Priority::Low)] {
        let taken = take(&other).await;
        assert_eq!((taken.body().as_ref(), taken.priority()), (expected.as_bytes(), priority));
        assert_eq!(taken.deliveries(), 1);
        taken.done().await.unwrap();
    }
    let left = queue.waiting().await.unwrap();
    assert!(left.iter().all(|some| some.waiting + some.in_progress == 0), "{left:?}");
}

#[tokio::test]
async fn an_item_of_a_silent_worker_comes_again_and_one_in_progress_does_not() {
    let Some(server) = NatsServer::start() else { return };
    let queue = connect(&server).await.work("npm").await.unwrap();
    queue.put(&work("slow", Priority::Normal)).await.unwrap();
    let in_progress = take(&queue).await;
    queue.put(&work("lost", Priority::Normal)).await.unwrap();
    // A worker that dies says nothing more.
    drop(take(&queue).await);
    let again = take(&queue).await;
    assert_eq!((again.body().as_ref(), again.deliveries()), (b"lost".as_slice(), 2));
    again.again(Duration::ZERO).await.unwrap();
    let third = take(&queue).await;
    assert_eq!((third.body().as_ref(), third.deliveries()), (b"lost".as_slice(), 3));
    third.done().await.unwrap();
    // The other item was never without a word for as long as the silent one.
    assert_eq!(in_progress.deliveries(), 1);
    in_progress.done().await.unwrap();
    assert!(queue.waiting().await.unwrap().iter().all(|some| some.waiting + some.in_progress == 0));
}

#[tokio::test]
async fn a_result_reaches_who_asked_and_is_kept_for_who_asks_later_through_restarts_of_the_server() {
    let Some(mut server) = NatsServer::start() else { return };
    let queue = connect(&server).await.work("npm").await.unwrap();
    let asked = {
        let queue = queue.clone();
        tokio::spawn(async move { queue.ask(&work("a", Priority::Normal)).await })
    };
    let worker = connect(&server).await.work("npm").await.unwrap();
    let taken = take(&worker).await;
    server.kill();
    let ends = tokio::spawn(async move {
        worker.keep_result("a", "done".into()).await.unwrap();
        taken.done().await.unwrap();
        worker
    });
    server.begin();
    assert_eq!(asked.await.unwrap().unwrap(), "done");
    let worker = ends.await.unwrap();
    // No worker takes it again.
    assert_eq!(worker.ask(&work("a", Priority::Normal)).await.unwrap(), "done");
    assert!(queue.waiting().await.unwrap().iter().all(|some| some.waiting + some.in_progress == 0));
}

#[tokio::test]
async fn dead_letters_are_counted_and_the_newest_are_read() {
    let Some(server) = NatsServer::start() else { return };
    let queue = connect(&server).await.work("npm").await.unwrap();
    assert_eq!(queue.dead_letters(5).await.unwrap(), DeadLetters::default());
    let letter = |attempts| DeadLetter {
        item: "{}".to_owned(),
        attempts,
        error: format!("failed {attempts} times"),
        at: "2026-11-30T00:00:00Z".to_owned(),
    };
    for attempts in [1, 2, 3, 3] {
        queue.bury("partition", "a", &letter(attempts)).await.unwrap();
    }
    let found = queue.dead_letters(2).await.unwrap();
    assert_eq!((found.count, found.newest), (3, vec![letter(3), letter(2)]));
}

#[tokio::test]
async fn changes_of_one_record_by_many_processes_are_all_made() {
    let Some(server) = NatsServer::start() else { return };
    let mut processes = tokio::task::JoinSet::new();
    for _ in 0..4 {
        let records = connect(&server).await.records("ALL_DOCS_HOSTS").await.unwrap();
        processes.spawn(async move {
            for _ in 0..25 {
                records.update("count", |count: &mut u64| *count += 1).await.unwrap();
            }
            records
        });
    }
    let records = processes.join_all().await.pop().unwrap();
    assert_eq!(records.read::<u64>("count").await.unwrap().map(|found| found.0), Some(100));
    assert!(records.read::<u64>("none").await.unwrap().is_none());
}

#[tokio::test]
async fn processes_talk_through_the_server_and_a_restart_ends_the_connection() {
    let Some(mut server) = NatsServer::start() else { return };
    let (here, there) = (connect(&server).await, connect(&server).await);
    let (mut near, mut far) = pair(&here, &there).await;
    let sent: Vec<u8> = (0..1_000_000_u32).map(|number| (number % 251) as u8).collect();
    let mut received = vec![0; sent.len()];
    let (written, read) = tokio::join!(near.write_all(&sent), far.read_exact(&mut received));
    written.unwrap();
    read.unwrap();
    assert!(sent == received);
    far.write_all(b"pong").await.unwrap();
    let mut pong = [0; 4];
    near.read_exact(&mut pong).await.unwrap();
    drop(near);
    assert_eq!(far.read(&mut pong).await.unwrap(), 0, "the end of one is the end of the other");
    // A piece that is sent while the server is away is lost, and the next piece shows it.
    let (mut near, mut far) = pair(&here, &there).await;
    near.write_all(b"one").await.unwrap();
    far.read_exact(&mut pong[..3]).await.unwrap();
    server.kill();
    server.begin();
    // Whether each piece survives is the client's affair; none is taken for another.
    drop(pair(&here, &there).await);
}

/// Returns the two ends of a connection. A busy machine, or a restart of the server, may cost a try.
async fn pair(here: &Queue, there: &Queue) -> (DuplexStream, DuplexStream) {
    loop {
        let Ok(mut listener) = here.listen().await else { continue };
        let address = listener.address();
        if let Ok(pair) = tokio::try_join!(there.dial(&address), listener.accept()) {
            return pair;
        }
    }
}

#[tokio::test]
async fn a_seat_has_one_holder_is_left_at_once_and_taken_from_one_who_is_gone() {
    let Some(server) = NatsServer::start() else { return };
    let mut seats = Vec::new();
    for _ in 0..2 {
        let queue = connect(&server).await;
        let records = queue.records("ALL_DOCS_HOSTS").await.unwrap();
        seats.push(Seats::new(queue, records));
    }
    let mut first = seats[0].take("a.example").await.unwrap().unwrap();
    assert!(seats[1].take("a.example").await.unwrap().is_none());
    assert!(seats[1].take("b.example").await.unwrap().is_some());
    while tokio::try_join!(seats[1].connect("a.example"), first.accept()).is_err() {}
    first.set_members(3);
    let resignation = first.resignation();
    resignation.leave().await;
    assert!(!first.is_held());
    let second = seats[1].take("a.example").await.unwrap().unwrap();
    assert_eq!(second.members_before(), 3);
    // It is gone without a word.
    drop(second);
    let third = loop {
        if let Some(leadership) = seats[0].take("a.example").await.unwrap() {
            break leadership;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    assert!(third.is_held());
}

#[tokio::test]
async fn an_item_that_the_server_has_lost_is_put_again() {
    let Some(mut server) = NatsServer::start() else { return };
    let (asks, works) = (connect(&server).await.work("npm").await.unwrap(), connect(&server).await);
    let works = works.work("npm").await.unwrap();
    let item = work("lost", Priority::Normal);
    let asked = asks.ask(&item);
    let worked = async {
        while works.waiting().await.unwrap().iter().all(|some| some.waiting == 0) {}
        server.lose();
        let taken = take(&works).await;
        assert_eq!(taken.body().as_ref(), b"lost");
        works.keep_result("lost", "found".into()).await.unwrap();
        taken.done().await.unwrap();
    };
    let (result, ()) = tokio::join!(asked, worked);
    assert_eq!(result.unwrap().as_ref(), b"found");
}

#[tokio::test]
async fn a_worker_gives_up_a_server_that_stays_away() {
    let Some(mut server) = NatsServer::start() else { return };
    let queue = connect(&server).await.work("npm").await.unwrap();
    server.kill();
    tokio::time::pause();
    let error = queue.next(&CancellationToken::new()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Network);
    assert!(error.hint_text().is_some_and(|hint| hint.contains("start the server")), "{error:?}");
}
