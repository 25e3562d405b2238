package limits

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/klauspost/compress/gzip"

	"github.com/spillwayhq/spillway/integration/peers/machine"
	"github.com/spillwayhq/spillway/integration/peers/peer"
	"github.com/spillwayhq/spillway/shared/deliver"
	"github.com/spillwayhq/spillway/shared/event"
	"github.com/spillwayhq/spillway/shared/heavy"
	"github.com/spillwayhq/spillway/shared/message"
	"github.com/spillwayhq/spillway/shared/segment"
	"github.com/spillwayhq/spillway/shared/sqsclient"
)

// madeUp are events that fill batches for Segment: different ones, so that they compress as well as
// real ones and no better.
func madeUp() ([][]byte, error) {
	all := make([][]byte, 20*batchEvents)
	for i := range all {
		e, err := peer.Event(i)
		if err != nil {
			return nil, err
		}
		all[i] = e
	}
	return all, nil
}

const (
	// batchEvents are the events of a batch: about 430 of a little more than 1 KB are Segment's 500
	// KB.
	batchEvents = 400
	// posters post at the same time, as many as deliver's concurrency limit begins with.
	posters = 8
)

// comparePosts compares posting ready-made batches with a delivery, from what Lambda hands to the
// function to Segment's answer.
func comparePosts(ctx context.Context, all [][]byte, do func(comparison) error) error {
	emulator, err := machine.StartSegment(ctx, 0)
	if err != nil {
		return err
	}
	defer emulator.Kill()
	packed, single, err := payloads(all)
	if err != nil {
		return err
	}
	for _, zipped := range []bool{false, true} {
		name := map[bool]string{false: "plain", true: "gzipped before"}[zipped]
		bodies, err := readyMade(all, zipped)
		if err != nil {
			return err
		}
		client, err := segment.NewClient(segment.Config{Endpoint: emulator.URL, Gzip: zipped})
		if err != nil {
			return err
		}
		handler, err := handlerFor(client)
		if err != nil {
			return err
		}
		compression := map[bool]string{false: "plain", true: "with its gzip"}[zipped]
		err = do(comparison{"of CPU", poster("ready-made batches posted, "+name, emulator.URL, bodies, zipped),
			ours(handler, packed, single, len(all), "deliver, %s, "+compression)})
		if err != nil {
			return err
		}
		if !zipped {
			continue
		}
		err = do(comparison{"of CPU", flusher("batches gzipped by deliver's client and posted", client, all),
			ours(handler, packed, single, len(all), "deliver, %s, "+compression)})
		if err != nil {
			return err
		}
	}
	return nil
}

// ours are the deliveries of both kinds of messages; what names one, with %s for the kind.
func ours(handler *delivering, packed, single []byte, n int, what string) []task {
	return []task{invoker(fmt.Sprintf(what, "packed messages"), handler, packed, n),
		invoker(fmt.Sprintf(what, "one event a message"), handler, single, singles)}
}

// batches are all events in batches as large as a packed message's.
func batches(all [][]byte) (b []*event.Batch) {
	for part := range slices.Chunk(all, batchEvents) {
		b = append(b, &event.Batch{WriteKey: peer.WriteKey, Events: part})
	}
	return b
}

// flusher posts the batches with the client of deliver, which joins and compresses them.
func flusher(what string, client *segment.Client, all [][]byte) task {
	ready := batches(all)
	return onCPU(what, len(all), func(ctx context.Context) error {
		return eachAtOnce(ready, func(b *event.Batch) error { return client.Flush(ctx, b) })
	})
}

// eachAtOnce does something with each value, with as many at the same time as there are posters.
func eachAtOnce[T any](values []T, do func(T) error) error {
	work := make(chan T)
	failures := make([]error, posters)
	var working sync.WaitGroup
	for i := range posters {
		working.Go(func() {
			for value := range work {
				failures[i] = errors.Join(failures[i], do(value))
			}
		})
	}
	for _, value := range values {
		work <- value
	}
	close(work)
	working.Wait()
	return errors.Join(failures...)
}

// readyMade are the bodies of requests to Segment.
func readyMade(all [][]byte, zipped bool) (bodies [][]byte, err error) {
	for _, batch := range batches(all) {
		reader, _ := batch.NewReader(time.Now())
		var body bytes.Buffer
		var w io.Writer = &body
		var zip *gzip.Writer
		if zipped {
			zip = gzip.NewWriter(&body)
			w = zip
		}
		if _, err := io.Copy(w, reader); err != nil {
			return nil, err
		}
		if zipped {
			if err := zip.Close(); err != nil {
				return nil, err
			}
		}
		bodies = append(bodies, body.Bytes())
	}
	return bodies, nil
}

// poster posts the bodies over connections that stay open.
func poster(what, url string, bodies [][]byte, zipped bool) task {
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: posters, WriteBufferSize: 64 << 10,
		DisableCompression: true}}
	encoding := ""
	if zipped {
		encoding = "gzip"
	}
	post := func(ctx context.Context, body []byte) error {
		if err := peer.Post(ctx, client, url+"/v1/batch", body, encoding); err != nil {
			return fmt.Errorf("post to the Segment emulator: %w", err)
		}
		return nil
	}
	return onCPU(what, len(bodies)*batchEvents, func(ctx context.Context) error {
		return eachAtOnce(bodies, func(body []byte) error { return post(ctx, body) })
	})
}

// singles are the messages of an invocation whose messages have one event each.
const singles = 1000

// payloads are what Lambda hands to the function: all events in packed messages, and singles of
// them in messages of their own.
func payloads(all [][]byte) (packed, single []byte, err error) {
	compressor, err := message.NewCompressor()
	if err != nil {
		return nil, nil, err
	}
	packer := message.NewPacker(message.Header{WriteKey: peer.WriteKey}, compressor)
	var full, alone []string
	for _, e := range all {
		if !packer.Fits(len(e)) {
			full = append(full, packer.Pack().Body)
		}
		packer.Add(e)
	}
	full = append(full, packer.Pack().Body)
	for _, e := range all[:singles] {
		alone = append(alone, string(message.AppendJSON(nil, message.Header{WriteKey: peer.WriteKey}, e)))
	}
	if packed, err = invocation(full); err != nil {
		return nil, nil, err
	}
	single, err = invocation(alone)
	return packed, single, err
}

// invocation is the event of an event source mapping.
func invocation(bodies []string) ([]byte, error) {
	var e events.SQSEvent
	sent := strconv.FormatInt(time.Now().UnixMilli(), 10)
	for i, body := range bodies {
		e.Records = append(e.Records, events.SQSMessage{MessageId: fmt.Sprintf("059f36b4-87a3-44ab-83d2-%012d", i),
			ReceiptHandle: fmt.Sprintf("receipt-%d", i), Body: body, EventSource: "aws:sqs", AWSRegion: "us-east-1",
			EventSourceARN: "arn:aws:sqs:us-east-1:000000000000:spillway-events",
			Attributes:     map[string]string{"SentTimestamp": sent, "ApproximateReceiveCount": "1"}})
	}
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false) // Lambda does not
	err := encoder.Encode(e)
	return out.Bytes(), err
}

// noQueue stands for queues that a delivery without failures does not call.
type noQueue struct{}

func (noQueue) Send(context.Context, []message.Message) error {
	return errors.New("an event became a dead letter")
}

func (noQueue) ChangeVisibility(context.Context, []sqsclient.VisibilityChange) error {
	return errors.New("a message was retained for retry")
}

// delivering is a delivery, with what its last invocation reported.
type delivering struct {
	handler *deliver.Handler
	last    deliver.Report
}

func handlerFor(client *segment.Client) (d *delivering, err error) {
	d = &delivering{}
	d.handler, err = deliver.New(deliver.Config{Segment: client, Queue: noQueue{}, DeadLetters: noQueue{},
		Senders: heavy.NewCounter("spillway", heavy.PartDeliver), Logger: slog.New(slog.DiscardHandler),
		Report: func(_ context.Context, r deliver.Report) { d.last = r }})
	return d, err
}

// invoker delivers an invocation of so many events.
func invoker(what string, d *delivering, payload []byte, n int) task {
	return onCPU(what, n, func(ctx context.Context) error {
		if _, err := d.handler.Invoke(ctx, payload); err != nil {
			return err
		}
		if d.last.Delivered != n {
			return fmt.Errorf("%d of %d events were delivered", d.last.Delivered, n)
		}
		return nil
	})
}
