"""What may cross a boundary: values, HTTP messages, the numbers of the guest protocol. Effects: none."""

from perdure.wire._guest_protocol import ERROR_MARK as ERROR_MARK
from perdure.wire._guest_protocol import NETWORK_DENIED as NETWORK_DENIED
from perdure.wire._guest_protocol import GuestOp as GuestOp
from perdure.wire._guest_protocol import HostOp as HostOp
from perdure.wire._http import WireRequest as WireRequest
from perdure.wire._http import WireResponse as WireResponse
from perdure.wire._http import request_from_host as request_from_host
from perdure.wire._http import request_from_wire as request_from_wire
from perdure.wire._http import request_to_wire as request_to_wire
from perdure.wire._http import response_from_host as response_from_host
from perdure.wire._http import response_from_wire as response_from_wire
from perdure.wire._http import response_to_wire as response_to_wire
from perdure.wire._json import TooManyValuesError as TooManyValuesError
from perdure.wire._json import read_json as read_json
from perdure.wire._storage_shapes import KvRange as KvRange
from perdure.wire._storage_shapes import SqlPage as SqlPage
from perdure.wire._storage_shapes import SqlValue as SqlValue
from perdure.wire._values import RegExp as RegExp
from perdure.wire._values import decode as decode
from perdure.wire._values import encode as encode
from perdure.wire._values import from_expression as from_expression
from perdure.wire._values import is_large as is_large
from perdure.wire._values import to_expression as to_expression
