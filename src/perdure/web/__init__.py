"""What a request is: Fetch-API values, in the host and inside the Python sandbox alike. Effects: none."""

from perdure.web._body import BodyInit as BodyInit
from perdure.web._form import File as File
from perdure.web._form import FormData as FormData
from perdure.web._headers import Headers as Headers
from perdure.web._headers import HeadersInit as HeadersInit
from perdure.web._request import Request as Request
from perdure.web._response import Response as Response
from perdure.web._stream import ReadableStream as ReadableStream
from perdure.web._text import to_utf8 as to_utf8
from perdure.web._url import Url as Url
from perdure.web._url import normalise_path as normalise_path
from perdure.web._url import parse_url as parse_url
from perdure.web._url import quote_target as quote_target
from perdure.web._websocket import ABNORMAL_CLOSURE as ABNORMAL_CLOSURE
from perdure.web._websocket import NO_STATUS as NO_STATUS
from perdure.web._websocket import NORMAL_CLOSURE as NORMAL_CLOSURE
from perdure.web._websocket import WebSocket as WebSocket
from perdure.web._websocket import WebSocketClose as WebSocketClose
from perdure.web._websocket import WebSocketPair as WebSocketPair
from perdure.web._websocket import close_reason as close_reason
from perdure.web._websocket import is_close_code as is_close_code
