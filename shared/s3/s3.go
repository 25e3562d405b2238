// Package s3 sends requests to one bucket of S3, again where they fail for a reason that may pass,
// and says what S3's refusals mean. Who keeps what in a bucket is the matter of others.
package s3

import (
	"cmp"
	"context"
	"encoding/xml"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/spillwayhq/spillway/shared/signed"
)

const (
	// Attempts is how often a request is sent that fails for reasons which may pass.
	Attempts = 3
	// attemptTimeout bounds one attempt, and perMB is added for each MB that it sends: S3 answers
	// small requests within 0.2 s, and 0.5 MB/s is a slow line.
	attemptTimeout = 5 * time.Second
	perMB          = 2 * time.Second
	backoff        = 200 * time.Millisecond // before the second attempt, and twice that before the third
)

// A Bucket is a bucket of S3. It is safe for concurrent use.
type Bucket struct {
	Name   string
	client *signed.Client
}

// Open returns a bucket in the configuration's region. It does not ask if the bucket exists.
func Open(c aws.Config, bucket string) *Bucket { return &Bucket{bucket, signed.S3(c, bucket)} }

// URI is how people call an object.
func (b *Bucket) URI(key string) string { return "s3://" + b.Name + "/" + key }

// Path is the path of an object for a request.
func Path(key string) string {
	var path strings.Builder
	path.WriteByte('/')
	for _, c := range []byte(key) {
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', strings.IndexByte("/.-_~", c) >= 0:
			path.WriteByte(c)
		default:
			fmt.Fprintf(&path, "%%%02X", c)
		}
	}
	return path.String()
}

// Send sends a request, and again if it fails for a reason that may pass. unclear: the answer of an
// attempt was lost, or was 5xx, which S3 also says of what it has done; so it may have had its
// effect.
func (b *Bucket) Send(ctx context.Context, r signed.Request) (a signed.Answer, unclear bool, err error) {
	for attempt := range Attempts {
		if attempt > 0 && !Pause(ctx, attempt) {
			return a, unclear, err
		}
		a, err = b.try(ctx, r)
		unclear = unclear || err != nil || a.Status >= 500
		if err == nil && !MayPass(a.Status) {
			break
		}
	}
	return a, unclear, err
}

func (b *Bucket) try(ctx context.Context, r signed.Request) (signed.Answer, error) {
	ctx, cancel := context.WithTimeout(ctx, attemptTimeout+perMB*time.Duration(len(r.Body)>>20))
	defer cancel()
	return b.client.Do(ctx, r)
}

// Stream sends a request once, and returns the answer as soon as its head is there, whatever its
// status. The caller closes the body.
func (b *Bucket) Stream(ctx context.Context, r signed.Request) (*http.Response, error) {
	return b.client.Open(ctx, r)
}

// MayPass reports whether a request that is answered so may succeed later.
func MayPass(status int) bool { return status >= 500 || status == http.StatusTooManyRequests }

// Pause waits before an attempt, of which the first is 0. It returns false if ctx has ended.
func Pause(ctx context.Context, attempt int) bool {
	return signed.Pause(ctx, backoff, attempt)
}

// An Error is an answer of S3 that is none of success.
type Error struct {
	Status        int
	Code, Message string // empty: the answer has none, as that to HEAD
}

func (e *Error) Error() string {
	text := fmt.Sprintf("S3 answered %d %s", e.Status, cmp.Or(e.Code, http.StatusText(e.Status)))
	if e.Message != "" {
		text += ": " + e.Message
	}
	switch {
	case e.Code == "NoSuchBucket":
		text += ": check the bucket's name and region, or deploy its stack"
	case e.Status == http.StatusMovedPermanently:
		text += ": the bucket is in another region"
	}
	return text
}

// Gone reports whether the object does not exist, while the bucket does.
func (e *Error) Gone() bool { return e.Status == http.StatusNotFound && e.Code != "NoSuchBucket" }

// Refusal is the error that an answer is, nil if it is none.
func Refusal(a signed.Answer) *Error {
	if a.Status/100 == 2 {
		return nil
	}
	var said struct{ Code, Message string }
	_ = xml.Unmarshal(a.Body, &said) // what is no XML is no error of S3's own: the status must do
	return &Error{a.Status, said.Code, said.Message}
}
