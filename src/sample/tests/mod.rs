//! A server and its world as a client sees them.
#![allow(clippy::unwrap_used)]

mod downloads;
mod editing;
mod faults;
mod http;
mod odd;
mod oracle;

use super::*;

/// Makes a world of three packages with small documents and one that is scoped.
fn small_world() -> World {
    let mut world = World::new();
    world.add_names(["b", "@s/p", "a", "-"]);
    world
}

fn serve(world: World) -> SampleServer {
    SampleServer::start(world, Options::default()).unwrap()
}

/// Makes a client that sends exactly the request of a test: no redirects, no decompression, no pool across runtimes.
fn client() -> reqwest::Client {
    reqwest::Client::builder().no_gzip().redirect(reqwest::redirect::Policy::none()).build().unwrap()
}

async fn get(server: &SampleServer, path: &str) -> (u16, String) {
    let answer =
        client().get(format!("{}{path}", server.url())).header("accept", "application/json").send().await.unwrap();
    (answer.status().as_u16(), answer.text().await.unwrap())
}
