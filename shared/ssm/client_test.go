package ssm

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/smithy-go"

	"github.com/spillwayhq/spillway/shared/signed"
)

// A wire is SSM as HTTP shows it: it keeps what was sent, and gives these answers one after the
// other, the last one for ever.
type wire struct {
	answers []answer
	sent    []string // target and body
	at      []time.Time
	header  http.Header // of the last request
}

// An answer is an HTTP answer, or an error of the connection.
type answer struct {
	status int
	body   string
	header http.Header
	lost   error
}

func (w *wire) Do(r *http.Request) (*http.Response, error) {
	body, _ := io.ReadAll(r.Body)
	w.sent, w.at = append(w.sent, r.Header.Get("X-Amz-Target")+" "+string(body)), append(w.at, time.Now())
	w.header = r.Header
	a := w.answers[min(len(w.sent), len(w.answers))-1]
	if a.lost != nil {
		return nil, a.lost
	}
	return &http.Response{StatusCode: a.status, Header: a.header, Body: io.NopCloser(strings.NewReader(a.body))}, nil
}

func refused(status int, code string) answer {
	return answer{status: status, body: fmt.Sprintf(`{"__type":"com.amazonaws.ssm#%s","message":"no"}`, code)}
}

func (w *wire) config() aws.Config {
	return aws.Config{Region: "eu-west-1", HTTPClient: w,
		Credentials: credentials.NewStaticCredentialsProvider("AKID", "secret", "token")}
}

var found = answer{status: 200, body: `{"Parameter":{"Name":"/p","Type":"SecureString","Value":"text","Version":7}}`}

func TestEachCallIsSentAsSSMExpectsIt(t *testing.T) {
	for want, call := range map[string]func(context.Context, *Client) error{
		`AmazonSSM.GetParameter {"Name":"/p:3","WithDecryption":true}`: func(ctx context.Context, c *Client) error {
			v, err := c.GetParameter(ctx, "/p:3", true)
			if v != (Value{"text", 7}) {
				t.Errorf("%+v", v)
			}
			return err
		},
		`AmazonSSM.GetParameter {"Name":"/p","WithDecryption":false}`: func(ctx context.Context, c *Client) error {
			_, err := c.GetParameter(ctx, "/p", false)
			return err
		},
		`AmazonSSM.PutParameter {"Name":"/p","Value":"v","Type":"SecureString","Overwrite":true}`: func(
			ctx context.Context, c *Client) error {
			return c.PutParameter(ctx, "/p", "v", SecureString)
		},
		`AmazonSSM.DeleteParameter {"Name":"/p"}`: func(ctx context.Context, c *Client) error {
			return c.DeleteParameter(ctx, "/p")
		},
	} {
		w := &wire{answers: []answer{found}}
		if err := call(t.Context(), New(w.config())); err != nil || !slices.Equal(w.sent, []string{want}) {
			t.Errorf("sent %q, want %s; %v", w.sent, want, err)
		}
		if w.header.Get("Content-Type") != "application/x-amz-json-1.1" || w.header.Get("X-Amz-Security-Token") != "token" ||
			!strings.Contains(w.header.Get("Authorization"), "Credential=AKID/") ||
			!strings.Contains(w.header.Get("Authorization"), "/eu-west-1/ssm/aws4_request") {
			t.Errorf("%s: the headers are %v", want, w.header)
		}
	}
}

func TestWhatMayPassIsTriedThreeTimesAndAnythingElseOnce(t *testing.T) {
	for name, c := range map[string]struct {
		answers  []answer
		code     string // "": there is a value
		attempts int
	}{
		"at once":             {[]answer{found}, "", 1},
		"after a 500":         {[]answer{refused(500, "InternalServerError"), found}, "", 2},
		"after a proxy's 502": {[]answer{{status: 502, body: "<html>"}, {status: 502}, found}, "", 3},
		"after throttling":    {[]answer{refused(400, "ThrottlingException"), found}, "", 2},
		"after a connection was lost": {[]answer{{lost: io.EOF}, {lost: errors.New("connection reset by peer")}, found}, "",
			3},
		"throttled":           {[]answer{refused(400, "ThrottlingException")}, "ThrottlingException", 3},
		"an outage":           {[]answer{refused(500, "InternalServerError")}, "InternalServerError", 3},
		"no parameter":        {[]answer{refused(400, "ParameterNotFound")}, "ParameterNotFound", 1},
		"no version":          {[]answer{refused(400, "ParameterVersionNotFound")}, "ParameterVersionNotFound", 1},
		"no key":              {[]answer{refused(400, "InvalidKeyId")}, "InvalidKeyId", 1},
		"no permission":       {[]answer{refused(400, "AccessDeniedException")}, "AccessDeniedException", 1},
		"what is no JSON":     {[]answer{{status: 200, body: "<html>"}}, "no code", 1},
		"no value":            {[]answer{{status: 200, body: "{}"}}, "no code", 1},
		"an answer cut short": {[]answer{{status: 200, body: `{"Parameter":{"Value":"te`}}, "no code", 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := &wire{answers: c.answers}
				v, err := New(w.config()).GetParameter(t.Context(), "/p", true)
				code := ""
				if api := (smithy.APIError)(nil); errors.As(err, &api) {
					code = api.ErrorCode()
				} else if err != nil {
					code = "no code"
				}
				if code != c.code || len(w.sent) != c.attempts || (err == nil) != (v.Text == "text") {
					t.Errorf("%+v, %v after %d attempts, want %q after %d", v, err, len(w.sent), c.code, c.attempts)
				}
				for i := range len(w.at) - 1 { // as the SDK: up to 2 s, then up to 4 s
					if pause := w.at[i+1].Sub(w.at[i]); pause > time.Duration(2<<i)*time.Second {
						t.Errorf("attempt %d came after %v", i+2, pause)
					}
				}
			})
		})
	}
}

func TestTheNumberOfAttemptsIsThatOfTheConfiguration(t *testing.T) {
	w := &wire{answers: []answer{refused(503, "ServiceUnavailable")}}
	c := w.config()
	c.RetryMaxAttempts = 1
	if _, err := New(c).GetParameter(t.Context(), "/p", true); err == nil || len(w.sent) != 1 {
		t.Errorf("%d attempts, %v", len(w.sent), err)
	}
}

func TestAfterAHundredRetriesInVainThereIsOneAttemptACall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &wire{answers: []answer{refused(503, "ServiceUnavailable")}}
		c := New(w.config())
		for range 50 {
			_, _ = c.GetParameter(t.Context(), "/p", true)
		}
		before := len(w.sent)
		_, err := c.GetParameter(t.Context(), "/p", true)
		if before != 150 || len(w.sent) != before+1 || codeOf(err) != "ServiceUnavailable" {
			t.Errorf("%d attempts, then %d: %v", before, len(w.sent)-before, err)
		}
		w.answers = []answer{found}
		for range 10 { // each gives back a fifth of a retry
			_, _ = c.GetParameter(t.Context(), "/p", true)
		}
		w.answers, w.sent = []answer{refused(503, "ServiceUnavailable"), found}, nil
		if _, err := c.GetParameter(t.Context(), "/p", true); err != nil {
			t.Error(err)
		}
	})
}

func TestAPauseEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Nanosecond)
		defer cancel()
		w := &wire{answers: []answer{refused(500, "InternalServerError")}}
		begun := time.Now()
		_, err := New(w.config()).GetParameter(ctx, "/p", true)
		if !errors.Is(err, context.DeadlineExceeded) || codeOf(err) != "InternalServerError" || len(w.sent) != 1 ||
			time.Since(begun) != time.Nanosecond {
			t.Errorf("%d attempts, %v: %v", len(w.sent), time.Since(begun), err)
		}
	})
}

// A machine whose clock is an hour slow reads parameters all the same, as with the SDK.
func TestAWrongClockIsCorrectedByAWSsTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		late := refused(400, "InvalidSignatureException")
		late.header = http.Header{"Date": {time.Now().Add(time.Hour).UTC().Format(http.TimeFormat)}}
		w := &wire{answers: []answer{late, found}}
		c := New(w.config())
		for calls := range 2 {
			if _, err := c.GetParameter(t.Context(), "/p", true); err != nil || len(w.sent) != 2+calls {
				t.Errorf("%d attempts, %v", len(w.sent), err)
			}
			signedAt, _ := time.Parse("20060102T150405Z", w.header.Get("X-Amz-Date"))
			if off := time.Until(signedAt) - time.Hour; off.Abs() > 10*time.Second {
				t.Errorf("signed %v from AWS's time", off)
			}
		}
		w.answers, w.sent = []answer{late}, nil // its clock has been corrected: there is another reason
		if _, err := c.GetParameter(t.Context(), "/p", true); codeOf(err) != "InvalidSignatureException" || len(w.sent) != 1 {
			t.Errorf("%d attempts, %v", len(w.sent), err)
		}
	})
}

func TestAParameterIsReadOverANetworkThatLosesConnectionsAndHangs(t *testing.T) {
	var requests atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var in struct{ Name string }
		if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
			t.Error(err)
		}
		n := requests.Add(1)
		switch {
		case in.Name == "/hangs":
			<-r.Context().Done()
		case n == 1:
			panic(http.ErrAbortHandler) // closes the connection
		case n == 2: // breaks off within the answer
			w.Header().Set("Content-Length", "1000")
			_, _ = io.WriteString(w, `{"Parameter"`)
			panic(http.ErrAbortHandler)
		default:
			_, _ = io.WriteString(w, found.body)
		}
	}))
	defer server.Close()
	t.Setenv("AWS_ENDPOINT_URL_SSM", server.URL)
	c := new(wire).config()
	c.HTTPClient = nil
	client := &Client{signed.SSM(c), retry.NewStandard(func(o *retry.StandardOptions) {
		o.Backoff = retry.BackoffDelayerFunc(func(int, error) (time.Duration, error) { return 0, nil })
	})}
	if v, err := client.GetParameter(t.Context(), "/p", true); err != nil || v.Text != "text" || requests.Load() != 3 {
		t.Errorf("%+v, %v after %d requests", v, err, requests.Load())
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := client.GetParameter(ctx, "/hangs", true); !errors.Is(err, context.DeadlineExceeded) || requests.Load() != 4 {
		t.Errorf("%v after %d requests", err, requests.Load())
	}
}
