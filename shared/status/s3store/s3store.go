// Package s3store keeps a status site in a bucket of S3.
//
// An object has the headers that CloudFront hands on: its type, and how long it may be kept.
//
// A document is written with If-Match, so that two writers at the same moment can't take each
// other's changes away: S3 decides who was first (S3 user guide, "Conditional writes").
package s3store

import (
	"bytes"
	"cmp"
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/spillwayhq/spillway/shared/signed"
	"github.com/spillwayhq/spillway/shared/status"
)

const (
	// attempts is how often a request is sent that fails for reasons which may pass.
	attempts = 3
	// attemptTimeout bounds one attempt. S3 answers requests of this size within 0.2 s.
	attemptTimeout = 5 * time.Second
	backoff        = 200 * time.Millisecond // before the second attempt, and twice that before the third
)

// A Store is a bucket. It implements status.Store, and is safe for concurrent use. A version is the
// object's ETag.
//
// It needs the permissions s3:GetObject, s3:PutObject, and s3:ListBucket, without which S3 says
// that reading is forbidden when an object does not exist.
type Store struct {
	bucket, folder string
	client         *signed.Client
}

// Open returns the store in a folder of a bucket of a region. It does not ask if the bucket exists.
func Open(c aws.Config, region, bucket, folder string) *Store {
	c.Region = region
	return &Store{bucket: bucket, folder: folder, client: signed.S3(c, bucket)}
}

// key is the path of an object, and uri how errors call it.
func (s *Store) key(name string) string { return "/" + s.folder + "/" + name }

func (s *Store) uri(name string) string { return "s3://" + s.bucket + s.key(name) }

// Read returns an object with its version, or status.ErrNotFound.
func (s *Store) Read(ctx context.Context, name string) (data []byte, version string, err error) {
	a, _, err := s.send(ctx, signed.Request{Method: http.MethodGet, Path: s.key(name)})
	if err == nil {
		err = refusal(a)
	}
	if err != nil {
		return nil, "", fmt.Errorf("read %s: %w", s.uri(name), err)
	}
	return a.Body, a.Header.Get("Etag"), nil
}

// Write writes an object if it still has the version ifVersion, or, if that is empty, if it does
// not exist. Otherwise it returns status.ErrChanged.
func (s *Store) Write(ctx context.Context, name string, data []byte, ifVersion string) error {
	r := s.put(name, status.ContentType(name), data)
	if ifVersion == "" {
		r.Header.Set("If-None-Match", "*")
	} else {
		r.Header.Set("If-Match", ifVersion)
	}
	a, unclear, err := s.send(ctx, r)
	if err == nil {
		err = refusal(a)
	}
	switch {
	case err == nil:
		return nil
	// 409: another write is under way. An object that is gone is 404 to If-Match.
	case a.Status == http.StatusPreconditionFailed, a.Status == http.StatusConflict,
		ifVersion != "" && errors.Is(err, status.ErrNotFound):
		if unclear && s.has(ctx, name, data) {
			return nil
		}
		err = status.ErrChanged
	}
	return fmt.Errorf("write %s: %w", s.uri(name), err)
}

// has reports whether an object has this content: then an attempt whose answer was lost has written
// it.
func (s *Store) has(ctx context.Context, name string, data []byte) bool {
	present, _, err := s.Read(ctx, name)
	return err == nil && bytes.Equal(present, data)
}

// Put writes an object, whatever is there.
func (s *Store) Put(ctx context.Context, name, contentType string, data []byte) error {
	a, _, err := s.send(ctx, s.put(name, contentType, data))
	if err == nil {
		err = refusal(a)
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", s.uri(name), err)
	}
	return nil
}

func (s *Store) put(name, contentType string, data []byte) signed.Request {
	return signed.Request{Method: http.MethodPut, Path: s.key(name), Body: data,
		Header: http.Header{"Content-Type": {contentType}, "Cache-Control": {status.CacheControl(name)}}}
}

// send sends a request, and again if it fails for a reason that may pass. unclear: the answer of an
// attempt was lost, or was 5xx, which S3 also says of what it has done; so it may have had its
// effect.
func (s *Store) send(ctx context.Context, r signed.Request) (a signed.Answer, unclear bool, err error) {
	for attempt := range attempts {
		if attempt > 0 && !pause(ctx, attempt) {
			return a, unclear, err
		}
		a, err = s.try(ctx, r)
		unclear = unclear || err != nil || a.Status >= 500
		if err == nil && a.Status < 500 && a.Status != http.StatusTooManyRequests {
			break
		}
	}
	return a, unclear, err
}

func (s *Store) try(ctx context.Context, r signed.Request) (signed.Answer, error) {
	ctx, cancel := context.WithTimeout(ctx, attemptTimeout)
	defer cancel()
	return s.client.Do(ctx, r)
}

// pause waits before an attempt. It returns false if ctx has ended.
func pause(ctx context.Context, attempt int) bool {
	wait := backoff << (attempt - 1)
	select {
	case <-ctx.Done():
		return false
	case <-time.After(wait/2 + rand.N(wait)):
		return true
	}
}

// refusal is the error that an answer is, nil if it is none.
func refusal(a signed.Answer) error {
	if a.Status == http.StatusOK {
		return nil
	}
	var said struct{ Code, Message string }
	_ = xml.Unmarshal(a.Body, &said) // what is no XML is no error of S3's own: the status must do
	text := fmt.Sprintf("S3 answered %d %s", a.Status, cmp.Or(said.Code, http.StatusText(a.Status)))
	if said.Message != "" {
		text += ": " + said.Message
	}
	switch {
	case a.Status == http.StatusNotFound && said.Code != "NoSuchBucket":
		return status.ErrNotFound
	case a.Status == http.StatusNotFound:
		return errors.New(text + ": check the bucket's name and region, or deploy its stack")
	case a.Status == http.StatusForbidden:
		return errors.New(text + ": s3:GetObject, s3:PutObject and s3:ListBucket are needed for this bucket")
	}
	return errors.New(text)
}
