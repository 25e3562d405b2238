// Package s3store is the archive in a bucket of S3, which Firehose fills (package firehose).
//
// What is written anew is written with If-Match, so that two who rewrite an object at the same
// moment can't take each other's changes away: S3 decides who was first (S3 user guide,
// "Conditional writes"). Firehose never changes an object that it has written.
package s3store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/google/uuid"

	"github.com/spillwayhq/spillway/shared/archive"
	"github.com/spillwayhq/spillway/shared/s3"
	"github.com/spillwayhq/spillway/shared/signed"
)

// Permissions are those of who works on an archive in a bucket: reading needs the first two.
var Permissions = []string{"s3:ListBucket", "s3:GetObject", "s3:PutObject", "s3:DeleteObject"}

// writer is the object's metadata that names the call which has written it.
const writer = "X-Amz-Meta-Writer"

// A Store is the archive in a bucket. It implements archive.Store, and is safe for concurrent use.
// A version is the object's ETag.
type Store struct{ bucket *s3.Bucket }

var _ archive.Store = (*Store)(nil)

// Open returns the archive in a bucket of the configuration's region. It does not ask if the bucket
// exists.
func Open(c aws.Config, bucket string) *Store { return &Store{s3.Open(c, bucket)} }

// failed says what could not be done to an object or a file, and what to do.
func (s *Store) failed(what, key, permission string, err error) error {
	if refused := (*s3.Error)(nil); errors.As(err, &refused) {
		switch {
		case refused.Gone():
			err = archive.ErrNotFound
		// 409: another write is under way.
		case refused.Status == http.StatusPreconditionFailed, refused.Status == http.StatusConflict:
			err = archive.ErrChanged
		case refused.Status == http.StatusForbidden:
			err = fmt.Errorf("%w: your role needs %s for this bucket (and kms:Decrypt and kms:GenerateDataKey, if it has a "+
				"KMS key)", err, permission)
		}
	}
	return fmt.Errorf("%s %s: %w", what, s.bucket.URI(key), err)
}

// send sends a request; a refusal is an error too.
func (s *Store) send(ctx context.Context, r signed.Request) (a signed.Answer, unclear bool, err error) {
	if err := ctx.Err(); err != nil {
		return a, false, err
	}
	a, unclear, err = s.bucket.Send(ctx, r)
	if err == nil {
		if refused := s3.Refusal(a); refused != nil {
			err = refused
		}
	}
	return a, unclear, err
}

// Finish returns an object as it is: nobody appends to objects of S3.
func (s *Store) Finish(ctx context.Context, o archive.Object) (archive.Object, error) {
	if err := archive.CheckName(o.Name); err != nil {
		return archive.Object{}, err
	}
	o, _, err := s.head(ctx, o.Name)
	return o, err
}

// head returns an object as it is, and who has written it.
func (s *Store) head(ctx context.Context, name string) (o archive.Object, by string, err error) {
	a, _, err := s.send(ctx, signed.Request{Method: http.MethodHead, Path: s3.Path(name)})
	if err != nil {
		return o, "", s.failed("look at", name, "s3:GetObject", err)
	}
	hour, _ := archive.ParseName(name)
	size, err := strconv.ParseInt(a.Header.Get("Content-Length"), 10, 64)
	if err != nil {
		return o, "", s.failed("look at", name, "", errors.New("S3 does not say how large it is"))
	}
	return archive.Object{Name: name, Hour: hour, Size: size, Version: a.Header.Get("Etag")}, a.Header.Get(writer), nil
}

// Replace puts content in the place of an object: see archive.Store. It holds the content in
// memory.
//
// S3 counts the days after which it deletes an object from when it was written, so a replaced
// object is kept for longer.
func (s *Store) Replace(ctx context.Context, o archive.Object, content io.ReadSeeker) (archive.Object, error) {
	if err := archive.CheckName(o.Name); err != nil {
		return archive.Object{}, err
	}
	data, err := io.ReadAll(content)
	if err != nil {
		return archive.Object{}, fmt.Errorf("read what replaces %s: %w", s.bucket.URI(o.Name), err)
	}
	if o.Version == "" { // nobody has read it
		if o, _, err = s.head(ctx, o.Name); err == nil {
			err = s.failed("replace", o.Name, "", archive.ErrChanged)
		}
		return archive.Object{}, err
	}
	me := uuid.NewString()
	a, unclear, err := s.send(ctx, signed.Request{Method: http.MethodPut, Path: s3.Path(o.Name), Body: data,
		Header: http.Header{"Content-Type": {"application/zstd"}, "If-Match": {o.Version}, writer: {me}}})
	if err == nil {
		o.Size, o.Version = int64(len(data)), a.Header.Get("Etag")
		return o, nil
	}
	err = s.failed("replace", o.Name, "s3:PutObject", err)
	if unclear && errors.Is(err, archive.ErrChanged) { // perhaps by an attempt whose answer was lost
		if now, by, failed := s.head(ctx, o.Name); failed == nil && by == me {
			return now, nil
		}
	}
	return archive.Object{}, err
}

// Delete removes an object: see archive.Store.
func (s *Store) Delete(ctx context.Context, o archive.Object) error {
	if err := archive.CheckName(o.Name); err != nil {
		return err
	}
	now, _, err := s.head(ctx, o.Name)
	if err == nil && now.Version != o.Version {
		err = s.failed("delete", o.Name, "", archive.ErrChanged)
	}
	if err == nil {
		if _, _, err = s.send(ctx, signed.Request{Method: http.MethodDelete, Path: s3.Path(o.Name),
			Header: http.Header{"If-Match": {o.Version}}}); err != nil {
			err = s.failed("delete", o.Name, "s3:DeleteObject", err)
		}
	}
	if errors.Is(err, archive.ErrNotFound) {
		return nil
	}
	return err
}

// ReadFile returns a file: see archive.Store.
func (s *Store) ReadFile(ctx context.Context, name string) ([]byte, error) {
	if err := archive.CheckFileName(name); err != nil {
		return nil, err
	}
	r, err := s.open(ctx, name, 0)
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(r)
	return data, errors.Join(err, r.Close())
}

// WriteFile writes a file: see archive.Store.
func (s *Store) WriteFile(ctx context.Context, name string, data []byte) error {
	if err := archive.CheckFileName(name); err != nil {
		return err
	}
	if _, _, err := s.send(ctx,
		signed.Request{Method: http.MethodPut, Path: s3.Path(name), Body: bytes.Clone(data)}); err != nil {
		return s.failed("write", name, "s3:PutObject", err)
	}
	return nil
}

// DeleteFile removes a file. S3 says of one that is gone that it is deleted.
func (s *Store) DeleteFile(ctx context.Context, name string) error {
	if err := archive.CheckFileName(name); err != nil {
		return err
	}
	if _, _, err := s.send(ctx, signed.Request{Method: http.MethodDelete, Path: s3.Path(name)}); err != nil {
		return s.failed("delete", name, "s3:DeleteObject", err)
	}
	return nil
}
