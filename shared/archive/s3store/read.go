package s3store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/spillwayhq/spillway/shared/archive"
	"github.com/spillwayhq/spillway/shared/s3"
	"github.com/spillwayhq/spillway/shared/signed"
)

// quiet is for how long S3 may send nothing before the connection is given up.
const quiet = 10 * time.Second

// Open reads an object: see archive.Store. Where the connection is lost it goes on with another
// one.
func (s *Store) Open(ctx context.Context, o archive.Object, offset int64) (io.ReadCloser, error) {
	if err := archive.CheckName(o.Name); err != nil {
		return nil, err
	}
	return s.open(ctx, o.Name, offset)
}

func (s *Store) open(ctx context.Context, key string, offset int64) (io.ReadCloser, error) {
	r := &reader{ctx: ctx, store: s, key: key, offset: offset}
	if err := r.connect(); err != nil {
		return nil, err
	}
	return r, nil
}

// A reader reads an object from an offset on. After a lost connection it asks for the rest of the
// same version.
type reader struct {
	ctx     context.Context
	store   *Store
	key     string
	offset  int64  // of the next byte
	version string // empty before the first answer

	body   io.ReadCloser // nil: there is nothing more to read, or no connection
	cancel context.CancelFunc
	alarm  *time.Timer // gives the connection up
	lost   int         // connections in a row that brought nothing
}

// connect asks for the object from the offset on.
func (r *reader) connect() (err error) {
	for attempt := range s3.Attempts {
		if attempt > 0 && !s3.Pause(r.ctx, attempt) {
			break
		}
		var again bool
		if again, err = r.try(); !again {
			break
		}
	}
	if err != nil {
		return r.store.failed("read", r.key, "s3:GetObject", err)
	}
	return nil
}

// try reports whether it may be worth another attempt, if it fails.
func (r *reader) try() (again bool, err error) {
	if err := r.ctx.Err(); err != nil {
		return false, err
	}
	ctx, cancel := context.WithCancel(r.ctx)
	alarm := time.AfterFunc(quiet, cancel)
	request := signed.Request{Method: http.MethodGet, Path: s3.Path(r.key), Header: http.Header{}}
	if r.offset > 0 {
		request.Header.Set("Range", fmt.Sprintf("bytes=%d-", r.offset))
	}
	if r.version != "" {
		request.Header.Set("If-Match", r.version)
	}
	answer, err := r.store.bucket.Stream(ctx, request)
	if err != nil {
		alarm.Stop()
		cancel()
		return r.ctx.Err() == nil, err
	}
	switch answer.StatusCode {
	case http.StatusOK, http.StatusPartialContent:
		if r.offset > 0 && answer.StatusCode == http.StatusOK {
			err = errors.New("S3 has sent the whole object in place of its end")
		}
	default:
		body, _ := io.ReadAll(io.LimitReader(answer.Body, maxRefusal))
		err = s3.Refusal(signed.Answer{Status: answer.StatusCode, Body: body})
	}
	if err == nil {
		r.version, r.body, r.cancel, r.alarm = answer.Header.Get("Etag"), answer.Body, cancel, alarm
		return false, nil
	}
	alarm.Stop()
	_ = answer.Body.Close()
	cancel()
	if answer.StatusCode == http.StatusRequestedRangeNotSatisfiable { // it begins at the end, or behind it
		return false, nil
	}
	return s3.MayPass(answer.StatusCode), err
}

// maxRefusal bounds what is read of a refusal.
const maxRefusal = 64 << 10

// Read implements io.Reader.
func (r *reader) Read(p []byte) (int, error) {
	for {
		if r.body == nil {
			return 0, io.EOF
		}
		n, err := r.body.Read(p)
		r.alarm.Reset(quiet)
		r.offset += int64(n)
		if n > 0 {
			r.lost = 0
		}
		switch {
		case err == nil || n > 0 && err != io.EOF: // what failed is seen at the next read
			return n, nil
		case err == io.EOF:
			r.disconnect()
			return n, io.EOF
		case r.ctx.Err() != nil || r.lost == s3.Attempts:
			return 0, r.store.failed("read", r.key, "s3:GetObject", errors.Join(r.ctx.Err(), err))
		}
		r.lost++
		r.disconnect()
		if err := r.connect(); err != nil {
			return 0, err
		}
	}
}

func (r *reader) disconnect() {
	if r.body != nil {
		r.alarm.Stop()
		r.cancel()
		_ = r.body.Close()
		r.body = nil
	}
}

// Close implements io.Closer.
func (r *reader) Close() error {
	r.disconnect()
	return nil
}
