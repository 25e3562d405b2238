// Package s3store keeps a status site in a bucket of S3.
//
// An object has the headers that CloudFront hands on: its type, and how long it may be kept.
//
// A document is written with If-Match, so that two writers at the same moment can't take each
// other's changes away: S3 decides who was first (S3 user guide, "Conditional writes").
package s3store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/spillwayhq/spillway/shared/s3"
	"github.com/spillwayhq/spillway/shared/signed"
	"github.com/spillwayhq/spillway/shared/status"
)

// A Store is a bucket. It implements status.Store, and is safe for concurrent use. A version is the
// object's ETag.
//
// It needs the permissions s3:GetObject, s3:PutObject, and s3:ListBucket, without which S3 says
// that reading is forbidden when an object does not exist.
type Store struct {
	bucket *s3.Bucket
	folder string
}

// Open returns the store in a folder of a bucket of a region. It does not ask if the bucket exists.
func Open(c aws.Config, region, bucket, folder string) *Store {
	c.Region = region
	return &Store{s3.Open(c, bucket), folder}
}

// path is that of an object in a request, and uri how errors call it.
func (s *Store) path(name string) string { return s3.Path(s.folder + "/" + name) }

func (s *Store) uri(name string) string { return s.bucket.URI(s.folder + "/" + name) }

// Read returns an object with its version, or status.ErrNotFound.
func (s *Store) Read(ctx context.Context, name string) (data []byte, version string, err error) {
	a, _, err := s.bucket.Send(ctx, signed.Request{Method: http.MethodGet, Path: s.path(name)})
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
	a, unclear, err := s.bucket.Send(ctx, r)
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
	a, _, err := s.bucket.Send(ctx, s.put(name, contentType, data))
	if err == nil {
		err = refusal(a)
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", s.uri(name), err)
	}
	return nil
}

func (s *Store) put(name, contentType string, data []byte) signed.Request {
	return signed.Request{Method: http.MethodPut, Path: s.path(name), Body: data,
		Header: http.Header{"Content-Type": {contentType}, "Cache-Control": {status.CacheControl(name)}}}
}

// refusal is the error that an answer is, nil if it is none.
func refusal(a signed.Answer) error {
	refused := s3.Refusal(a)
	switch {
	case refused == nil:
		return nil
	case refused.Gone():
		return status.ErrNotFound
	case refused.Status == http.StatusForbidden:
		return fmt.Errorf("%w: s3:GetObject, s3:PutObject and s3:ListBucket are needed for this bucket", refused)
	}
	return refused
}
