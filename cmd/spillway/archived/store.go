package archived

import (
	"errors"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/spillwayhq/spillway/shared/archive"
)

// openBucket opens the archive in a bucket of the region of the configuration.
func openBucket(aws.Config, string) (archive.Store, error) {
	return nil, errors.New("this build can't read it")
}
