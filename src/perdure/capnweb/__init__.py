"""Cap'n Web: object-capability RPC with peers that are not ours, such as browsers. Effects: network, tasks, log."""

from perdure.capnweb._client import connect as connect
from perdure.capnweb._serve import new_workers_rpc_response as new_workers_rpc_response
from perdure.capnweb._session import Host as Host
from perdure.capnweb._session import Session as Session
from perdure.capnweb._session import Transport as Transport
from perdure.capnweb._socket import SocketEnd as SocketEnd
from perdure.capnweb._streams import ValueStream as ValueStream
from perdure.capnweb._streams import WritableStream as WritableStream
from perdure.capnweb._stubs import PeerPromise as PeerPromise
from perdure.capnweb._stubs import PeerStub as PeerStub
