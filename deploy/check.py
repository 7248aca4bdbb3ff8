"""Checks the files for Cloud Run, Kubernetes and Compose by the schemas of Kubernetes and of Compose.

Needs kubernetes-validate, PyYAML, and docker-compose 1.29, which has the schema. The files for Cloud Run have no public schema: their pods are those
of Kubernetes, and their numbers are compared with the limits of Cloud Run.
"""

import importlib.metadata
import json
import pathlib
import subprocess
import sys

import jsonschema
import kubernetes_validate
import yaml

KUBERNETES = "1.31"
(SPEC,) = (file for file in importlib.metadata.files("docker-compose") if file.name == "compose_spec.json")
COMPOSE = json.loads(SPEC.read_text())
folder = pathlib.Path(__file__).parent


def read(path):
    documents = list(yaml.safe_load_all(path.read_text()))
    assert documents, f"{path} is empty"
    return documents


def check_pod(pod):
    kubernetes_validate.validate(
        {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "pod"}, "spec": pod}, KUBERNETES, strict=True
    )


def check_arguments(binary, container):
    """The arguments of a container are those of a command: with --help after them, it prints its help."""
    done = subprocess.run([binary, *container["args"], "--help"], capture_output=True, text=True)
    assert done.returncode == 0, f"{container['args']}: {done.stderr}"
    for argument in container["args"]:
        if argument.startswith("--"):
            assert argument in done.stdout, f"{container['args'][0]} has no {argument}"


def main(binary):
    for path in [folder / "kubernetes-job.yaml", *folder.glob("../examples/*/kubernetes.yaml")]:
        for document in read(path):
            kubernetes_validate.validate(document, KUBERNETES, strict=True)
            for container in document["spec"]["template"]["spec"]["containers"]:
                check_arguments(binary, container)
        print(f"{path.name}: valid")

    (job,) = read(folder / "kubernetes-job.yaml")
    (container,) = job["spec"]["template"]["spec"]["containers"]
    shares = {variable["name"]: variable["value"] for variable in container["env"]}["ALL_DOCS_SHARE_COUNT"]
    assert int(shares) == job["spec"]["completions"], "the shares are not as many as the pods"

    (job,) = read(folder / "cloud-run-job.yaml")
    assert (job["apiVersion"], job["kind"]) == ("run.googleapis.com/v1", "Job")
    execution = job["spec"]["template"]["spec"]
    task = dict(execution["template"]["spec"])
    assert 0 <= task.pop("maxRetries") <= 10
    assert 0 < task.pop("timeoutSeconds") <= 168 * 3600
    assert execution["parallelism"] <= execution["taskCount"] <= 10_000
    check_pod(task)
    check_arguments(binary, task["containers"][0])
    print("cloud-run-job.yaml: valid")

    for path in folder.glob("cloud-run-service.yaml"):
        (service,) = read(path)
        assert (service["apiVersion"], service["kind"]) == ("serving.knative.dev/v1", "Service")
        revision = dict(service["spec"]["template"]["spec"])
        assert 1 <= revision.pop("containerConcurrency") <= 1_000
        assert 0 < revision.pop("timeoutSeconds") <= 3600
        check_pod(revision)
        check_arguments(binary, revision["containers"][0])
        print(f"{path.name}: valid")

    for path in folder.glob("compose*.yaml"):
        (compose,) = read(path)
        jsonschema.validate(compose, COMPOSE)
        for service in compose["services"].values():
            if service.get("image") == "all-docs:latest":
                check_arguments(binary, {"args": service["command"]})
        print(f"{path.name}: valid")


if __name__ == "__main__":
    main(sys.argv[1])
