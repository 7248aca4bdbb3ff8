//! `all-docs query-worker`: helps the queries of other machines. Not here: how a query is divided (`query`).

use std::net::SocketAddr;

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::cli::exit::Code;
use crate::cli::printer::Printer;
use crate::cli::settings::Settings;
use crate::cli::token::token;
use crate::error::{Context, ErrorKind, Result};
use crate::pipeline::{LakeRoot, no_lake, open_to_read};
use crate::query::{QueryWorker, Session, SessionOptions};

#[derive(Debug, clap::Args)]
#[command(after_help = "\
A worker reads the lake itself, so it needs the same bucket, or the same folder on a shared mount, as the machine that \
asks. It serves gRPC without TLS to everybody who can connect: give a token, and a private network. docs/fleet-sql.md \
tells more.

Examples:
  all-docs query-worker --lake gs://bucket/npm --listen 0.0.0.0:8081
  all-docs query --lake gs://bucket/npm --workers http://10.0.0.1:8081,http://10.0.0.2:8081 'select count(*) from versions'")]
pub(in crate::cli) struct QueryWorkerArgs {
    /// The address to listen on; port 0 takes a free one and prints it
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8081")]
    listen: SocketAddr,
    /// The token that those who ask must have [default: none is asked for]
    #[arg(long, value_name = "TOKEN", env = "ALL_DOCS_WORKER_TOKEN", hide_env_values = true, value_parser = token)]
    token: Option<String>,
}

pub(in crate::cli) async fn run(
    args: QueryWorkerArgs,
    settings: &Settings,
    printer: &Printer,
    stop: CancellationToken,
) -> Result<Code> {
    let store = settings.open_lake()?;
    let Some(LakeRoot { info, .. }) = open_to_read(&store).await? else { return Err(no_lake(settings.lake())) };
    let session = Session::open(&store, &info, &SessionOptions::default())?;
    let cannot_listen = || format!("cannot listen on {}", args.listen);
    let listener = TcpListener::bind(args.listen).await.or_error(ErrorKind::Input, cannot_listen)?;
    let address = listener.local_addr().or_error(ErrorKind::Input, cannot_listen)?;
    printer.note(&format!("a worker for queries of {} until Ctrl-C", settings.lake()));
    printer.result(&format!("http://{address}\n"))?;
    QueryWorker::new(&session, args.token).serve(listener, stop).await?;
    // It was asked to end, and did.
    Ok(Code::Done)
}
