package deliver

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/spillwayhq/spillway/shared/deliver"
	"github.com/spillwayhq/spillway/shared/reload"
	"github.com/spillwayhq/spillway/shared/sqsclient"
	"github.com/spillwayhq/spillway/shared/ssm"
)

const parameter = "/spillway/parameter"

// fakeSSM holds one parameter.
type fakeSSM struct {
	value string
	err   error
	hangs bool
	reads int
}

func (f *fakeSSM) GetParameter(ctx context.Context, name string, decrypt bool) (ssm.Value, error) {
	f.reads++
	if f.hangs {
		<-ctx.Done()
		return ssm.Value{}, ctx.Err()
	}
	if f.err != nil {
		return ssm.Value{}, f.err
	}
	if name != parameter || !decrypt {
		return ssm.Value{}, errors.New("ParameterNotFound")
	}
	return ssm.Value{Text: f.value}, nil
}

// segments is every Segment that there is: it takes all events and remembers under which write keys
// they came, and to which host.
type segments struct{ keys, hosts []string }

func (s *segments) RoundTrip(r *http.Request) (*http.Response, error) {
	key, _, _ := r.BasicAuth()
	s.keys, s.hosts = append(s.keys, key), append(s.hosts, r.URL.Host)
	_, _ = io.Copy(io.Discard, r.Body)
	r.Body.Close()
	return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: http.NoBody}, nil
}

// noSQS takes visibility changes. No dead letter is written here.
type noSQS struct{ sqsclient.API }

func (noSQS) ChangeMessageVisibilityBatch(context.Context, *sqs.ChangeMessageVisibilityBatchInput,
	...func(*sqs.Options)) (*sqs.ChangeMessageVisibilityBatchOutput, error) {
	return &sqs.ChangeMessageVisibilityBatchOutput{}, nil
}

const oneEvent = `{"Records":[{"messageId":"m","receiptHandle":"r","body":"{\"type\":\"track\",\"userId\":\"u\",\"event\":\"Run\"}"}]}`

// function is the deliver function with one parameter.
type function struct {
	*Handler
	segments
	log bytes.Buffer
}

func newFunction(t *testing.T, o Options, api *fakeSSM) *function {
	t.Helper()
	return newReportingFunction(t, o, api, new(deliver.Report))
}

// newReportingFunction is newFunction with the report of the last invocation.
func newReportingFunction(t *testing.T, o Options, api *fakeSSM, last *deliver.Report) *function {
	t.Helper()
	f := new(function)
	var err error
	f.Handler, err = New(o, Parts{SQS: noSQS{}, SSM: api, Transport: &f.segments, Metrics: io.Discard,
		Logger: slog.New(slog.NewTextHandler(&f.log, nil)), Report: func(r deliver.Report) { *last = r }})
	if err != nil {
		t.Fatal(err)
	}
	f.values.Refresh(t.Context())
	return f
}

// one delivers one event, and returns the write key that Segment saw; empty: it saw no event.
func (f *function) one(t *testing.T) string {
	t.Helper()
	f.keys = nil
	out, err := f.Invoke(t.Context(), []byte(oneEvent))
	if err != nil {
		t.Fatal(err)
	}
	if retried := strings.Contains(string(out), `"m"`); retried != (len(f.keys) == 0) {
		t.Fatalf("Segment saw the keys %q, and the answer is %s", f.keys, out)
	}
	return strings.Join(f.keys, " ")
}

func expect(t *testing.T, when, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("%s: delivered under %q, want %q", when, got, want)
	}
}

var withKeyParameter = Options{Endpoint: "http://segment.test", WriteKeyParameter: parameter}

func TestAChangedWriteKeyIsUsedAfterAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		api := &fakeSSM{value: "first\n"}
		f := newFunction(t, withKeyParameter, api)
		expect(t, "at the start", f.one(t), "first")
		api.value = "second"
		time.Sleep(reload.Interval*9/10 - time.Second)
		expect(t, "before the minute is over", f.one(t), "first")
		time.Sleep(reload.Interval/5 + time.Second)
		f.one(t) // reads while it delivers
		expect(t, "after it", f.one(t), "second")
		if api.reads != 2 {
			t.Errorf("read %d times, want 2", api.reads)
		}
		if text := f.log.String(); strings.Contains(text, "first") || strings.Contains(text, "second") ||
			strings.Count(text, "level=WARN msg=\"the default write key has white space around it") != 1 {
			t.Errorf("the log says:\n%s", text)
		}
	})
}

func TestAParameterThatCanNotBeReadAgainChangesNothing(t *testing.T) {
	for name, broken := range map[string]fakeSSM{
		"an error": {err: errors.New("ThrottlingException")}, "a hang": {hangs: true}, "an empty value": {value: " "},
		"two words": {value: "a secret"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				api := &fakeSSM{value: "good"}
				f := newFunction(t, withKeyParameter, api)
				*api = broken
				for range 3 {
					time.Sleep(reload.Interval * 11 / 10)
					began := time.Now()
					expect(t, "with a broken parameter", f.one(t), "good")
					if took := time.Since(began); took > reload.Timeout {
						t.Errorf("the invocation took %v", took)
					}
				}
				if text := f.log.String(); !strings.Contains(text, "the last good value is used") ||
					strings.Contains(text, "secret") {
					t.Errorf("the log says:\n%s", text)
				}
			})
		})
	}
}

func TestWithoutAWriteKeyMessagesWaitAndItIsReadAgainSoon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		api := &fakeSSM{err: errors.New("AccessDenied")}
		f := newFunction(t, withKeyParameter, api)
		expect(t, "without a value", f.one(t), "")
		*api = fakeSSM{value: "late"}
		expect(t, "at once", f.one(t), "")
		time.Sleep(reload.FirstInterval * 11 / 10)
		expect(t, "5 s later", f.one(t), "late")
		if !strings.Contains(f.log.String(), "messages without a write key wait") {
			t.Errorf("the log says:\n%s", &f.log)
		}
	})
}

func TestAnEndpointOfSSMIsFollowedAndWithoutOneNothingIsSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		api := &fakeSSM{err: errors.New("AccessDenied")}
		f := newFunction(t, Options{EndpointParameter: parameter, WriteKey: "k", Gzip: true}, api)
		expect(t, "without an endpoint", f.one(t), "")
		for _, value := range []string{"http://first.test", "not an endpoint", "http://second.test\n"} {
			*api = fakeSSM{value: value}
			// Longer than a write key is paused for a lack of an endpoint.
			time.Sleep(time.Hour)
			f.one(t) // reads before or while it delivers
			expect(t, value, f.one(t), "k")
		}
		hosts := slices.Compact(f.hosts)
		if want := []string{"first.test", "second.test"}; !slices.Equal(hosts, want) {
			t.Errorf("sent to %v, want %v", hosts, want)
		}
	})
}

// An alarm on a new version needs its metrics under its number, and the function's as before.
func TestTheMetricsAreCountedByTheVersionThatLambdaNames(t *testing.T) {
	for _, c := range []struct {
		variable string
		want     int // metrics with the version
	}{
		{"AWS_LAMBDA_FUNCTION_VERSION=7", 2}, {"AWS_LAMBDA_FUNCTION_VERSION=$LATEST", 0}, {"PATH=/bin", 0},
	} {
		o, err := readOptions(complete("SPILLWAY_SEGMENT_ENDPOINT=http://segment.test", c.variable))
		if err != nil {
			t.Fatal(err)
		}
		var metrics bytes.Buffer
		f, err := New(o, Parts{SQS: noSQS{}, Transport: new(segments), Metrics: &metrics,
			Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Invoke(t.Context(), []byte(oneEvent)); err != nil { // which has no write key, so it is retried
			t.Fatal(err)
		}
		text := metrics.String()
		_, versioned, _ := strings.Cut(text,
			`"Dimensions":[["Pipeline","Function"],["Pipeline","Function","Version"]],"Metrics":[`)
		versioned, _, _ = strings.Cut(versioned, "]")
		if got := strings.Count(versioned, `"Name"`); got != c.want ||
			strings.Contains(text, `"Version":"7"`) != (c.want > 0) ||
			!strings.Contains(text, `"EventsDelivered":0`) || !strings.Contains(text, `"Failures":1`) {
			t.Errorf("%s: %d metrics by version, want %d:\n%s", c.variable, got, c.want, text)
		}
	}
}
