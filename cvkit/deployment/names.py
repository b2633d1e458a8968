"""Names: what the files of `cvkit deploy` call things, in one place: the recorder's live metrics, jobs, identities."""

from __future__ import annotations

# Live metrics of `cvkit.data.recorder`, by what they are.
FRAMES = "cvkit_frames_total"  # source, model, version
DETECTIONS = "cvkit_detections_total"  # source, model, version, class
LATENCY = "cvkit_inference_latency_seconds"  # histogram: source, model, version
CONFIDENCE = "cvkit_detection_confidence"  # histogram: source, model, version
BRIGHTNESS = "cvkit_image_brightness"  # source, model, version
ERRORS = "cvkit_inference_errors_total"  # source
ACCEPTED = "cvkit_records_accepted_total"  # source
DROPPED = "cvkit_records_dropped_total"  # source
WAITING = "cvkit_records_waiting"  # source

JOB = "cvkit"  # the scrape of `cvkit metrics serve`
RECORDER_JOB = "cvkit-recorder"  # the scrape of the process that runs the model
DATASOURCE = "cvkit-prometheus"  # uid
FLEET = "cvkit-fleet"  # uid
MODEL_PAGE = "cvkit-model"  # uid
FOLDER = "cvkit"  # of dashboards and rules in Grafana
CONTACT = "cvkit-slack"
SECRET = "/run/secrets/slack-url"  # noqa: S105  a file, which holds the address of Slack's incoming webhook
