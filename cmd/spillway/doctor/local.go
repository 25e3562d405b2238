package doctor

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/dustin/go-humanize"

	"github.com/spillwayhq/spillway/cmd/spillway/queues"
	"github.com/spillwayhq/spillway/cmd/spillway/terminal"
	"github.com/spillwayhq/spillway/infra/local"
	"github.com/spillwayhq/spillway/infra/topology"
	"github.com/spillwayhq/spillway/shared/httpserver"
	"github.com/spillwayhq/spillway/shared/version"
)

// Local checks the pipeline of `spillway up` that has this events queue. An error says that there
// is none to check.
func Local(ctx context.Context, queueURL string) (Report, error) {
	endpoint, err := queues.Endpoint(queueURL)
	if err != nil {
		return Report{}, err
	}
	names, isEvents := topology.NamesOfEventsQueue(queueURL[strings.LastIndex(queueURL, "/")+1:])
	if !isEvents {
		return Report{}, fmt.Errorf("--queue-url must be the events queue of `spillway up`, is %s", queueURL)
	}
	r := get(ctx, http.DefaultClient, endpoint.String()+local.StatusPath)
	var status local.Status
	if r.err == nil && r.value.status != http.StatusOK {
		r.err = fmt.Errorf("%s answers %d: is it `spillway up`? (a pipeline on AWS is found by --name)", r.value.url,
			r.value.status)
	}
	if r.err == nil {
		if err := json.Unmarshal([]byte(r.value.body), &status); err != nil {
			r.err = fmt.Errorf("read the status of `spillway up` at %s: %w", r.value.url, err)
		}
	}
	if r.err != nil {
		return Report{}, queues.Explain(r.err, queueURL)
	}
	api, err := queues.NewClient(ctx, queueURL)
	if err != nil {
		return Report{}, err
	}
	flags := ""
	if queueURL != queues.DefaultURL {
		flags = "--queue-url " + queueURL
	}
	options := topology.DefaultOptions()
	options.Names = names
	t := topology.New(options)
	checks := []Finding{judgeVersions(version.String(), map[string]string{"up": status.Version})}
	for _, q := range t.Queues {
		place := queueURL[:strings.LastIndex(queueURL, "/")+1]
		checks = append(checks, judgeQueue(q, attributes(ctx, api, place+q.Name), "restart `spillway up`"))
	}
	if status.IngestURL != "" {
		checks = append(checks, judgeHealth(get(ctx, http.DefaultClient, status.IngestURL+httpserver.HealthPath)))
	}
	checks = append(checks, judgeSegment(get(ctx, http.DefaultClient, status.SegmentURL)),
		judgeCalls(read[error]{value: status.Segment.Failing(time.Now())}))
	checks = append(checks, judgeStatus(status, flags)...)
	if len(status.Alarms) > 0 {
		checks = append(checks, judgeLocalAlarms(status.Alarms))
	}
	checks = append(checks, judgeDeadLetters(status.DeadLetters, flags))
	return newReport(names.Pipeline, "", checks), nil
}

// judgeStatus says what the status of `up` means beyond what others check. flags name its queue.
func judgeStatus(s local.Status, flags string) []Finding {
	findings := []Finding{ok("store", "the data directory takes messages, and nothing in it is damaged")}
	if s.Store != "" {
		findings[0] = finding(Failed, "store", "check the disk; spillway check names what is damaged", "%s", s.Store)
	}
	findings = append(findings, judgeLocalPauses(&s, flags)...)
	delivery := ok("delivery", "the backlog is %s", terminal.Plural(s.BacklogEvents, "event"))
	if n := s.Bulk.BacklogEvents; n > 0 {
		delivery.Says += fmt.Sprintf(", and the bulk queue has %s", terminal.Plural(n, "event"))
	}
	if s.Degraded != "" && !s.Paused.IsSet() {
		delivery = finding(Failed, "delivery", strings.TrimSpace("follow it with spillway tail "+flags), "%s", s.Degraded)
	}
	canary := ok("canary", "is turned off")
	switch {
	case s.Canary.On && s.Canary.At.IsZero():
		canary = ok("canary", "none has arrived yet: `up` has just started, or the line above says why")
	case s.Canary.On:
		canary = ok("canary", "the last one arrived %v ago, after %v", s.At.Sub(s.Canary.At).Round(time.Second),
			s.Canary.Latency.Round(time.Millisecond))
	}
	findings = append(findings, delivery, canary, judgeLocalArchive(&s))
	if s.StatusSite != "" { // a pipeline may have none, so nothing is said of one that is well
		findings = append(findings, finding(Warning, "status site", "check the folder "+local.StatusFolder+" of the data "+
			"directory", "%s", s.StatusSite))
	}
	return findings
}

// judgeLocalArchive says what the archive has, and whether it takes what ends.
func judgeLocalArchive(s *local.Status) Finding {
	const check = "archive"
	switch a := s.Archive; {
	case a.Failure != "":
		return finding(Failed, check, "check the disk and the folder; what it does not take waits in the bulk queue, or is "+
			"retried", "%s", a.Failure)
	case s.ArchiveDir == "":
		return ok(check, "is turned off: replay and why know nothing of what was delivered")
	case a.Oldest.IsZero():
		return ok(check, "has no events yet, in %s", s.ArchiveDir)
	default:
		return ok(check, "%s on disk, of events since %s, in %s", humanize.IBytes(uint64(max(0, a.Bytes))),
			a.Oldest.Local().Format("2006-01-02 15:04"), s.ArchiveDir)
	}
}

// judgeLocalAlarms says which alarms fire, with what to do about the first: composites come last,
// and say less than their parts.
func judgeLocalAlarms(alarms []local.Alarm) Finding {
	const check = "alarms"
	var fire []string
	do := ""
	for i := range alarms {
		if a := &alarms[i]; a.Fires() {
			fire = append(fire, a.Name+" since "+a.Since.Local().Format("15:04"))
			do = cmp.Or(do, a.Text)
		}
	}
	if fire == nil {
		return ok(check, "none of the %d of a deployment fires", len(alarms))
	}
	return finding(Failed, check, do, "%d of %d fire: %s", len(fire), len(alarms), strings.Join(fire, ", "))
}

// judgeVersions compares the versions of the parts, by name, with that of this program.
func judgeVersions(own string, parts map[string]string) Finding {
	const check, untold = "versions", "devel" // of `go run`, which tells a program no version
	var differ, all []string
	distinct := map[string]bool{}
	for _, part := range slices.Sorted(maps.Keys(parts)) {
		distinct[parts[part]] = true
		all = append(all, part+" "+parts[part])
		if parts[part] != own {
			differ = append(differ, part+" "+parts[part])
		}
	}
	switch {
	case len(distinct) > 1:
		return finding(Warning, check, "a deployment has not finished, or failed: deploy again",
			"the parts have several: %s", strings.Join(all, ", "))
	case len(differ) == 0:
		return ok(check, "all are %s, as this program is", own)
	case own == untold:
		return ok(check, "%s; `go run` does not know its own to compare them with", strings.Join(differ, ", "))
	}
	return finding(Warning, check, "use the command line of the version that runs: its checks and formats are of that one",
		"this program is %s, and not %s", own, strings.Join(differ, ", "))
}

// attributes reads the attributes of a queue by its URL.
func attributes(ctx context.Context, api *sqs.Client, url string) read[map[string]string] {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	out, err := api.GetQueueAttributes(ctx, &sqs.GetQueueAttributesInput{QueueUrl: aws.String(url),
		AttributeNames: []types.QueueAttributeName{types.QueueAttributeNameAll}})
	if err != nil {
		return read[map[string]string]{nil, err, "sqs:GetQueueAttributes"}
	}
	return read[map[string]string]{value: out.Attributes}
}

// judgeQueue compares a queue with the topology. repair says how to make a queue anew.
func judgeQueue(q topology.Queue, r read[map[string]string], repair string) Finding {
	check := "queue " + q.Name
	var missing *types.QueueDoesNotExist
	switch differ := q.Differing(r.value); {
	case errors.As(r.err, &missing):
		return finding(Failed, check, repair, "does not exist")
	case r.err != nil:
		return r.unknown(check)
	case len(differ) > 0:
		var says []string
		for _, name := range slices.Sorted(maps.Keys(differ)) {
			says = append(says, fmt.Sprintf("%s must be %s, is %q", name, differ[name], r.value[name]))
		}
		set, _ := json.Marshal(differ) // a map of strings: it can't fail
		return finding(Failed, check, "aws sqs set-queue-attributes --queue-url $(aws sqs get-queue-url --queue-name "+q.Name+
			" --query QueueUrl --output text) --attributes '"+string(set)+"'", "%s", strings.Join(says, "; "))
	}
	says := fmt.Sprintf("retains messages for %d days", int(q.Retention/(24*time.Hour)))
	if q.DeadLetterQueue != "" {
		says += fmt.Sprintf(", and SQS moves them after %d receives", q.MaxReceiveCount)
	}
	return ok(check, "%s", says)
}

// messages is how many a queue holds: visible, in flight and delayed.
func messages(attributes map[string]string) (n int64) {
	for _, name := range []types.QueueAttributeName{types.QueueAttributeNameApproximateNumberOfMessages,
		types.QueueAttributeNameApproximateNumberOfMessagesNotVisible,
		types.QueueAttributeNameApproximateNumberOfMessagesDelayed} {
		count, _ := strconv.ParseInt(attributes[string(name)], 10, 64) // SQS writes numbers, or it has none
		n += count
	}
	return n
}
