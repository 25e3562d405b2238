package doctor

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"

	"github.com/spillwayhq/spillway/infra/topology"
	format "github.com/spillwayhq/spillway/shared/archive"
	"github.com/spillwayhq/spillway/shared/s3"
	"github.com/spillwayhq/spillway/shared/signed"
)

// A deliveryStream is what Firehose says of one.
type deliveryStream struct {
	DeliveryStreamStatus string
	FailureDescription   struct{ Details string }
	Destinations         []struct {
		ExtendedS3DestinationDescription struct{ BucketARN, Prefix, FileExtension string }
	}
}

// bucket is that of the stream; empty: the stream has none.
func (d *deliveryStream) bucket() string {
	if len(d.Destinations) == 0 {
		return ""
	}
	arn := d.Destinations[0].ExtendedS3DestinationDescription.BucketARN
	return arn[strings.LastIndex(arn, ":")+1:]
}

// archived is what was read of the archive.
type archived struct {
	stream read[deliveryStream]
	bucket *read[bool] // whether it can be read; nil: the stream does not say which it is
}

const readBucket = "s3:ListBucket"

// archive reads the archive whose stream deliver was told.
func (r *reader) archive(ctx context.Context, stream string) *archived {
	if stream == "" {
		return nil
	}
	var a archived
	a.stream = call(ctx, "firehose:DescribeDeliveryStream", func(ctx context.Context) (deliveryStream, error) {
		var answer struct{ DeliveryStreamDescription deliveryStream }
		in := struct{ DeliveryStreamName string }{stream}
		err := signed.Firehose(r.config).Call(ctx, "Firehose_20150804.DescribeDeliveryStream", in, &answer)
		return answer.DeliveryStreamDescription, err
	})
	if bucket := a.stream.value.bucket(); bucket != "" {
		looked := call(ctx, readBucket, func(ctx context.Context) (bool, error) {
			answer, _, err := s3.Open(r.config, bucket).Send(ctx, signed.Request{Method: http.MethodGet, Path: "/",
				Query: url.Values{"list-type": {"2"}, "max-keys": {"1"}, "prefix": {format.Prefix}}})
			if err == nil {
				if refused := s3.Refusal(answer); refused != nil {
					err = refused
				}
			}
			return err == nil, err
		})
		a.bucket = &looked
	}
	return &a
}

// judgeArchive says whether what deliver archives reaches a bucket in which readers find it. How
// late it does is the matter of alarms.
func judgeArchive(want *topology.Archive, a *archived) []Finding {
	checks := []Finding{judgeStream(want, a.stream)}
	if a.bucket != nil {
		checks = append(checks, judgeBucket(a.stream.value.bucket(), *a.bucket))
	}
	return checks
}

func judgeStream(want *topology.Archive, r read[deliveryStream]) Finding {
	check := "stream " + want.Stream
	if hasCode(r.err, "ResourceNotFoundException") {
		return finding(Failed, check, redeploy, "it does not exist: what deliver archives waits in the bulk queue")
	}
	if r.err != nil {
		return r.unknown(check)
	}
	status := r.value.DeliveryStreamStatus
	switch {
	case status != "ACTIVE":
		return finding(Failed, check, "wait, and deploy again if it stays", "it is %s, and takes nothing: %s",
			strings.ToLower(status), r.value.FailureDescription.Details)
	case r.value.bucket() == "":
		return finding(Failed, check, redeploy, "it writes to no bucket")
	}
	to := r.value.Destinations[0].ExtendedS3DestinationDescription
	if !strings.HasPrefix(to.Prefix, format.Prefix) || to.FileExtension != format.Extension {
		return finding(Failed, check, redeploy,
			"it writes objects like %q with the extension %q, which replay, why and forget "+
				"do not find", to.Prefix, to.FileExtension)
	}
	return ok(check, "active, writes to %s", r.value.bucket())
}

func judgeBucket(bucket string, r read[bool]) Finding {
	check := "bucket " + bucket
	refused, answered := errors.AsType[*s3.Error](r.err)
	switch {
	case r.err == nil:
		return ok(check, "can be read")
	case answered && refused.Code == "NoSuchBucket":
		return finding(Failed, check, redeploy, "it does not exist: Firehose drops what it can't write within 24 hours")
	case answered && refused.Status == http.StatusForbidden:
		f := finding(Unknown, check, "allow your role this, or run it with another", "%s", refused)
		f.Permission = r.permission
		return f
	}
	return r.unknown(check)
}
