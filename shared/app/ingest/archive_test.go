package ingest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/spillwayhq/spillway/integration/testutil"
	"github.com/spillwayhq/spillway/shared/archive"
	"github.com/spillwayhq/spillway/shared/event"
	"github.com/spillwayhq/spillway/shared/message"
	"github.com/spillwayhq/spillway/shared/trial"
)

const bulkQueue = "https://sqs.us-east-1.amazonaws.com/1/bulk"

// bodies is SQS that keeps the bodies of messages by queue.
type bodies struct {
	*cloud
	hangs bool // the bulk queue

	mu sync.Mutex
	of map[string][]string
}

func newBodies() *bodies { return &bodies{cloud: newCloud(), of: map[string][]string{}} }

func (b *bodies) SendMessageBatch(ctx context.Context, in *sqs.SendMessageBatchInput, o ...func(*sqs.Options)) (
	*sqs.SendMessageBatchOutput, error) {
	url := aws.ToString(in.QueueUrl)
	if b.hangs && url == bulkQueue {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	out, err := b.cloud.SendMessageBatch(ctx, in, o...)
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, e := range in.Entries {
		if err == nil {
			b.of[url] = append(b.of[url], aws.ToString(e.MessageBody))
		}
	}
	return out, err
}

// records are those that the bulk queue has, which must be archive-only messages.
func (b *bodies) records(t *testing.T) (all []archive.Record) {
	t.Helper()
	d, err := message.NewDecoder()
	if err != nil {
		t.Fatal(err)
	}
	for _, body := range b.of[bulkQueue] {
		var content message.Content
		_ = d.Decode([]byte(body), &content) // an error, as for every such message
		r, err := archive.NewReader(bytes.NewReader(content.ArchiveFrame), 0)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		for {
			block, err := r.Next()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			for line := range block.Lines() {
				record, err := archive.ParseRecord(bytes.Clone(line))
				if err != nil {
					t.Fatalf("%s: %v", line, err)
				}
				all = append(all, record)
			}
		}
	}
	return all
}

func archiving() Options {
	return Options{ArchiveQueueURL: bulkQueue, CanaryWriteKey: "canary"}
}

func endpointOf(t *testing.T, sqs SQS, o Options) (e *Endpoint, log *testutil.Buffer) {
	t.Helper()
	log = new(testutil.Buffer)
	o.QueueURL, o.DeadLetterQueueURL = eventsA, deadA
	e, err := New(t.Context(), o, Parts{SQS: sqs, Metrics: log, Logger: slog.New(slog.NewJSONHandler(log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	return e, log
}

func TestInvalidEventsThatBecomeDeadLettersAreArchivedAndOthersAreNot(t *testing.T) {
	b := newBodies()
	e, log := endpointOf(t, b, archiving())
	began := time.Now().Truncate(time.Millisecond)
	status := answered(e, "POST", "/v1/batch",
		`{"writeKey":"wk","context":{"app":"a"},"integrations":{"All":true},"batch":[`+
			`{"type":"track","userId":"u","event":"e","messageId":"good"},`+
			`{"type":"track","userId":"u","messageId":"no-name"},{"type":"foo","messageId":"unknown"},null,7]}`)
	if status != 200 || len(b.of[deadA]) == 0 || len(b.of[eventsA]) != 1 {
		t.Fatalf("status %d, %v", status, b.got)
	}
	dead := map[string]string{} // events of the dead letters
	d, _ := message.NewDecoder()
	for _, body := range b.of[deadA] {
		var content message.Content
		if err := d.Decode([]byte(body), &content); err != nil {
			t.Fatal(err)
		}
		for i := range content.Events {
			dead[string(content.Events[i].Raw)] = message.ReasonInvalid
		}
	}
	got := map[string]string{}
	for _, r := range b.records(t) {
		got[string(r.Event)] = r.Reason
		if r.Outcome != archive.DeadLettered || r.Detail == "" || r.WriteKey != "wk" || r.Origin != event.FromServer ||
			string(r.Context) != `{"app":"a"}` || string(r.Integrations) != `{"All":true}` || r.ReceivedAt.Before(began) ||
			r.Time.Before(r.ReceivedAt) || r.Time.After(time.Now()) {
			t.Errorf("%+v", r)
		}
	}
	if len(got) != 4 || !maps.Equal(got, dead) {
		t.Errorf("archived are %v, dead letters are %v", got, dead)
	}
	if strings.Contains(log.String(), "NotArchived") {
		t.Errorf("%s", log)
	}
	before := len(b.of[bulkQueue])
	for name, body := range map[string]string{"nothing is invalid": valid,
		"all is invalid, and refused": `{"writeKey":"wk","batch":[{"type":"track","userId":"u"}]}`,
		"the canary's":                strings.Replace(mixed, "wk", "canary", 1)} {
		if answered(e, "POST", "/v1/batch", body); len(b.of[bulkQueue]) != before {
			t.Errorf("%s: it is archived", name)
		}
	}
	b.set(true, deadA)
	if got := answered(e, "POST", "/v1/batch", mixed); got != 429 || len(b.of[bulkQueue]) != before {
		t.Errorf("without its dead letter a request is answered %d, and %d records are sent", got,
			len(b.of[bulkQueue])-before)
	}
}

// The dead letter counts: the archive is no reason to lose it, nor to refuse what else is in its request.
func TestWhatTheBulkQueueDoesNotTakeIsADeadLetterAndCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for name, fail := range map[string]func(*bodies){
			"away":    func(b *bodies) { b.set(true, bulkQueue) },
			"hanging": func(b *bodies) { b.hangs = true },
		} {
			b := newBodies()
			e, log := endpointOf(t, b, archiving())
			fail(b)
			began := time.Now()
			for range 20 {
				if got := answered(e, "POST", "/v1/batch", mixed); got != 200 {
					t.Errorf("%s: status %d", name, got)
				}
			}
			if took := time.Since(began); took > 2*archiveTimeout {
				t.Errorf("%s: 20 requests wait for %v", name, took)
			}
			if len(b.of[deadA]) != 20 || len(b.of[eventsA]) != 20 {
				t.Errorf("%s: %v", name, b.got)
			}
			e.writeMetrics(t.Context())
			if n := metric(t, log.String(), "EventsNotArchived"); n != 20 {
				t.Errorf("%s: %d events are counted as not archived\n%s", name, n, log)
			}
			if n := strings.Count(log.String(), "the bulk queue did not take their records"); n != 20 {
				t.Errorf("%s: it is logged %d times", name, n)
			}
			b.set(false, bulkQueue)
			b.hangs = false
			time.Sleep(time.Minute)
			if answered(e, "POST", "/v1/batch", mixed); len(b.of[bulkQueue]) != 1 {
				t.Errorf("%s: nothing is archived when the queue is back", name)
			}
		}
	})
}

// Each record repeats the context of its batch. Half a megabyte of it with 5,000 events would be 2 GB.
func TestAContextThatManyRecordsWouldRepeatIsNotArchived(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // however long it computes, no time limit ends
		b := newBodies()
		e, log := endpointOf(t, b, archiving())
		body := fmt.Sprintf(`{"writeKey":"wk","context":{"a":%q},"batch":[{"type":"track","userId":"u","event":"e"}%s]}`,
			strings.Repeat("x", 400<<10), strings.Repeat(",7", 4000))
		if got := answered(e, "POST", "/v1/batch", body); got != 200 || len(b.of[deadA]) == 0 || len(b.of[bulkQueue]) != 0 {
			t.Errorf("status %d, %v", got, b.got)
		}
		e.writeMetrics(t.Context())
		if n := metric(t, log.String(), "EventsNotArchived"); n != 4000 {
			t.Errorf("%d events are counted", n)
		}
		few := strings.Replace(body, strings.Repeat(",7", 4000), strings.Repeat(",7", 20), 1)
		if got := answered(e, "POST", "/v1/batch", few); got != 200 || len(b.records(t)) != 20 {
			t.Errorf("status %d, %d records", got, len(b.records(t)))
		}
	})
}

func TestATrialArchivesNothing(t *testing.T) {
	b := newBodies()
	e, _ := endpointOf(t, b, archiving())
	body := strings.Replace(mixed, "wk", trial.WriteKey, 1)
	payload := fmt.Sprintf(`{"version":"2.0","rawPath":"/v1/batch","headers":{},"body":%q,"isBase64Encoded":false,`+
		`"requestContext":{"stage":"$default","http":{"method":"POST","protocol":"HTTP/1.1","sourceIp":"192.0.2.1"}}}`, body)
	request, err := (&trial.Trial{Payload: []byte(payload)}).Encode()
	if err != nil {
		t.Fatal(err)
	}
	out, err := e.Lambda().Invoke(t.Context(), request)
	if err != nil || strings.Contains(string(out), "archiveFrame") ||
		!strings.Contains(string(out), trial.DeadLetterQueue) ||
		len(b.got) != 0 {
		t.Errorf("%.500s, %v, %v", out, b.got, err)
	}
}

func TestTheQueueOfTheArchiveIsRead(t *testing.T) {
	o, err := readOptions(complete("SPILLWAY_ARCHIVE_QUEUE_URL="+bulkQueue), 0)
	if err != nil || o.ArchiveQueueURL != bulkQueue {
		t.Errorf("%+v, %v", o, err)
	}
	if _, err := readOptions(complete("SPILLWAY_ARCHIVE_QUEUE_URL=bulk"), 0); err == nil ||
		!strings.Contains(err.Error(), "SPILLWAY_ARCHIVE_QUEUE_URL") {
		t.Errorf("%v", err)
	}
}
