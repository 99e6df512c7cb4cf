// What PyCUDA looks up in the driver and we do not use; the list is from `nm -D` of its extension module.
#include "state.hpp"

#define NONE(call) \
    EXPORT Result call() { return NOT_SUPPORTED; }

NONE(cuArray3DCreate_v2) NONE(cuArray3DGetDescriptor_v2) NONE(cuArrayCreate_v2) NONE(cuArrayDestroy)
NONE(cuArrayGetDescriptor_v2) NONE(cuCtxAttach) NONE(cuCtxCreate_v4) NONE(cuCtxDetach) NONE(cuCtxDisablePeerAccess)
NONE(cuCtxEnablePeerAccess) NONE(cuCtxGetApiVersion) NONE(cuCtxGetCacheConfig) NONE(cuCtxGetLimit)
NONE(cuCtxGetSharedMemConfig) NONE(cuCtxSetCacheConfig) NONE(cuCtxSetLimit) NONE(cuCtxSetSharedMemConfig)
NONE(cuDeviceCanAccessPeer) NONE(cuDeviceGetByPCIBusId) NONE(cuFuncGetAttribute) NONE(cuFuncSetAttribute)
NONE(cuFuncSetCacheConfig) NONE(cuFuncSetSharedSize) NONE(cuIpcCloseMemHandle) NONE(cuIpcGetEventHandle)
NONE(cuIpcGetMemHandle) NONE(cuIpcOpenEventHandle) NONE(cuIpcOpenMemHandle_v2) NONE(cuLaunch) NONE(cuLaunchGrid)
NONE(cuLaunchGridAsync) NONE(cuLinkAddData_v2) NONE(cuLinkAddFile_v2) NONE(cuLinkComplete) NONE(cuLinkCreate_v2)
NONE(cuLinkDestroy) NONE(cuMemAllocManaged) NONE(cuMemAllocPitch_v2) NONE(cuMemGetAddressRange_v2)
NONE(cuMemHostGetDevicePointer_v2) NONE(cuMemHostGetFlags) NONE(cuMemHostRegister_v2) NONE(cuMemHostUnregister)
NONE(cuMemcpy2DAsync_v2) NONE(cuMemcpy2DUnaligned_v2) NONE(cuMemcpy2D_v2) NONE(cuMemcpy3DAsync_v2)
NONE(cuMemcpy3DPeer) NONE(cuMemcpy3DPeerAsync) NONE(cuMemcpy3D_v2) NONE(cuMemcpyAtoA_v2) NONE(cuMemcpyAtoD_v2)
NONE(cuMemcpyAtoH_v2) NONE(cuMemcpyDtoA_v2) NONE(cuMemcpyDtoD_v2) NONE(cuMemcpyHtoA_v2) NONE(cuMemcpyPeer)
NONE(cuMemcpyPeerAsync) NONE(cuMemsetD16Async) NONE(cuMemsetD16_v2) NONE(cuMemsetD2D16Async) NONE(cuMemsetD2D16_v2)
NONE(cuMemsetD2D32Async) NONE(cuMemsetD2D32_v2) NONE(cuMemsetD2D8Async) NONE(cuMemsetD2D8_v2) NONE(cuMemsetD32Async)
NONE(cuMemsetD32_v2) NONE(cuMemsetD8_v2) NONE(cuModuleGetGlobal_v2) NONE(cuModuleGetSurfRef) NONE(cuModuleGetTexRef)
NONE(cuModuleLoad) NONE(cuModuleLoadData) NONE(cuParamSetSize) NONE(cuParamSetTexRef) NONE(cuParamSetf)
NONE(cuParamSeti) NONE(cuParamSetv) NONE(cuProfilerInitialize) NONE(cuProfilerStart) NONE(cuProfilerStop)
NONE(cuStreamAttachMemAsync) NONE(cuSurfRefGetArray) NONE(cuSurfRefSetArray) NONE(cuTexRefCreate)
NONE(cuTexRefDestroy) NONE(cuTexRefGetAddressMode) NONE(cuTexRefGetAddress_v2) NONE(cuTexRefGetArray)
NONE(cuTexRefGetFilterMode) NONE(cuTexRefGetFlags) NONE(cuTexRefGetFormat) NONE(cuTexRefSetAddress2D_v3)
NONE(cuTexRefSetAddressMode) NONE(cuTexRefSetAddress_v2) NONE(cuTexRefSetArray) NONE(cuTexRefSetFilterMode)
NONE(cuTexRefSetFlags) NONE(cuTexRefSetFormat)
