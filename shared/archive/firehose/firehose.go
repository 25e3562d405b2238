// Package firehose puts the frames of the archive into a Firehose stream, which writes them to a
// bucket as they come (package s3store).
//
// Firehose, because a PUT to S3 for each invocation would cost more than all the rest. Its price
// has one trap: each record is paid as if its size were a multiple of 5 KB, so a frame is one
// record.
package firehose

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/smithy-go"

	"github.com/spillwayhq/spillway/shared/archive"
	"github.com/spillwayhq/spillway/shared/signed"
)

// Limits of a call (Firehose API reference, PutRecordBatch). The documentation does not say if the
// 4 MiB are those before base64: they are taken for those on the wire.
const (
	maxRecords   = 500
	maxCallBytes = 4 << 20
	recordExtra  = len(`{"Data":""},`)
	callExtra    = 1 << 10 // for the stream's name and the rest
)

const (
	// attempts is how often a record is put that is not taken.
	attempts = 3
	// attemptTimeout bounds one call, and perMB is added for each MB. Firehose answers within 0.1
	// s; a connection that has slept with the environment may be dead, which must leave time for
	// another.
	attemptTimeout = 1500 * time.Millisecond
	perMB          = 500 * time.Millisecond
	backoff        = 100 * time.Millisecond // before the second attempt, and twice that before the third
)

// A Stream is a Firehose stream. It implements archive.Appender, and is safe for concurrent use. It
// needs the permission firehose:PutRecordBatch.
type Stream struct {
	name   string
	client *signed.Client
}

var _ archive.Appender = (*Stream)(nil)

// New returns a stream of the configuration's region. It does not ask if the stream exists.
func New(c aws.Config, name string) *Stream { return &Stream{name, signed.Firehose(c)} }

// Put puts each frame into the stream as one record: see archive.Appender. Firehose has stored what
// it takes in three places before it answers. It puts again what is not taken, so that a record may
// be in the stream twice.
func (s *Stream) Put(ctx context.Context, frames []archive.Frame) error {
	failed := map[int]error{}
	var left []int // indices of frames that are not in the stream yet
	for i, f := range frames {
		if n := len(f.Data); n == 0 || n > archive.MaxFrameBytes {
			failed[i] = fmt.Errorf("a frame must have 1 to %d bytes, has %d", archive.MaxFrameBytes, n)
			continue
		}
		left = append(left, i)
	}
	for len(left) > 0 {
		n := callSize(frames, left)
		s.putCall(ctx, frames, left[:n], failed)
		left = left[n:]
	}
	if len(failed) > 0 {
		return &archive.PutError{Failed: failed, Frames: len(frames)}
	}
	return nil
}

// callSize is how many of these frames fit one call: at least one.
func callSize(frames []archive.Frame, indices []int) int {
	size := callExtra
	for n, i := range indices {
		size += recordExtra + base64.StdEncoding.EncodedLen(len(frames[i].Data))
		if n > 0 && (n == maxRecords || size > maxCallBytes) {
			return n
		}
	}
	return len(indices)
}

// putCall puts frames that fit one call, again those that are not taken, and adds to failed what is
// left of them.
func (s *Stream) putCall(ctx context.Context, frames []archive.Frame, indices []int, failed map[int]error) {
	why := make([]error, len(indices))
	for attempt := range attempts {
		if attempt > 0 && !signed.Pause(ctx, backoff, attempt) || ctx.Err() != nil {
			break
		}
		var again bool
		why, again = s.call(ctx, frames, indices)
		indices, why = unarchived(indices, why)
		if len(indices) == 0 || !again {
			break
		}
	}
	for n, i := range indices {
		failed[i] = fmt.Errorf("put a record into the Firehose stream %s: %w", s.name, errors.Join(ctx.Err(), why[n]))
	}
}

func unarchived(indices []int, errs []error) (left []int, why []error) {
	for n, err := range errs {
		if err != nil {
			left, why = append(left, indices[n]), append(why, err)
		}
	}
	return left, why
}

type record struct{ Data []byte }

// call makes one call, and returns an error for each frame, nil if it is in the stream. again: it
// may be worth another attempt.
func (s *Stream) call(ctx context.Context, frames []archive.Frame, indices []int) (errs []error, again bool) {
	in := struct {
		DeliveryStreamName string
		Records            []record
	}{s.name, make([]record, len(indices))}
	size := 0
	for n, i := range indices {
		in.Records[n].Data = frames[i].Data
		size += len(frames[i].Data)
	}
	var out struct {
		RequestResponses []struct{ ErrorCode, ErrorMessage string }
	}
	ctx, cancel := context.WithTimeout(ctx, attemptTimeout+perMB*time.Duration(size>>20))
	defer cancel()
	err := s.client.Call(ctx, "Firehose_20150804.PutRecordBatch", in, &out)
	if n := len(out.RequestResponses); err == nil && n != len(indices) {
		err = fmt.Errorf("an answer for %d of %d records came from Firehose", n, len(indices))
	}
	errs = make([]error, len(indices))
	if err != nil {
		for n := range errs {
			errs[n] = explain(err)
		}
		return errs, retryable.IsErrorRetryable(err) == aws.TrueTernary || errors.Is(err, context.DeadlineExceeded)
	}
	for n, r := range out.RequestResponses {
		if r.ErrorCode != "" {
			errs[n] = &smithy.GenericAPIError{Code: r.ErrorCode, Message: r.ErrorMessage}
		}
	}
	return errs, true
}

// retryable knows which errors may pass, as every client of the SDK does.
var retryable = retry.IsErrorRetryables(retry.DefaultRetryables)

// explain adds what to do to an error of AWS.
func explain(err error) error {
	refused := (smithy.APIError)(nil)
	if !errors.As(err, &refused) {
		return err
	}
	switch refused.ErrorCode() {
	case "AccessDeniedException":
		return fmt.Errorf("%w (the role needs firehose:PutRecordBatch on the stream, and the stream its KMS key)", err)
	case "ResourceNotFoundException":
		return fmt.Errorf("%w (deploy the stack again with --revert-drift)", err)
	}
	return err
}
